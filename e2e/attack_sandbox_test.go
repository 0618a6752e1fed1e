package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"agentprocess/internal/runtime/native"
)

// TestAttackSandbox tries to break each sentence about the sandbox from inside.
func TestAttackSandbox(t *testing.T) {
	w := newWorld(t)
	h := newAttacked(t, nil)
	h.plantTools()
	v := newVictim(t, h)
	binary := digest(t, binaryPath())
	flags := []string{"--env", "VICTIM=" + strconv.Itoa(v.pid), "--env", "ABSTRACT=" + v.abstract, "--env", "HOSTDIR=" + h.dir, "--env", "REPO=" + h.repo}
	for _, ns := range namespaces() {
		link, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--env", "HOST_"+ns+"="+link)
	}
	attacks := slices.Concat(viewAttacks(h), writeAttacks(), toolAttacks(), privilegeAttacks(), processAttacks())
	r, results := h.assault("sandbox", flags, attacks)
	checkIdentity(t, results["who am I"])
	if digest(t, binaryPath()) != binary {
		t.Error("the supervisor's binary was changed")
	}
	v.check(t)
	if found := escaped(h.dir); found != "" {
		t.Errorf("%s: the agent made %s", saysTree, found)
	}
	if found := grep(filepath.Join(h.repo, ".git"), planted); found != "" {
		t.Errorf("a planted secret came home in %s", found)
	}
	if left := leftovers(h.dir); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
	if detail := r.phase("sandbox"); !strings.Contains(detail, "landlock") || strings.Contains(detail, "landlock 0") {
		t.Errorf("%s: %q", saysLandlock, detail)
	}
	w.check(t)
}

// escaped finds a file that an agent left outside its tree.
func escaped(dir string) string {
	found := ""
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "escaped" {
			found = path
		}
		return nil
	})
	return found
}

func namespaces() []string { return []string{"pid", "ipc", "uts", "net", "cgroup", "mnt"} }

func digest(t *testing.T, path string) [32]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// viewAttacks look for what should not be seen.
func viewAttacks(h *attacked) []attack {
	return []attack{
		{saysIdentity, "who am I", `id -u`, `[1-9][0-9]*`},
		{saysIdentity, "groups of the host", `for g in $(id -G); do [ "$g" = "$(id -g)" ] || echo extra $g; done; echo end`, `end`},
		{saysView, "planted secrets anywhere", `./probe find`, `found:`},
		{saysView, "top of the root", `ls -A / | grep -v -x -E 'bin|sbin|lib|lib32|lib64|libx32|usr|etc|dev|proc|tmp|run|var|opt|home|nix|gnu|root'; echo end`, `end`},
		{saysView, "host's home by name", `ls "$HOSTDIR/home"; cat "$HOSTDIR/home/.ssh/id_rsa" "$HOSTDIR/home/private.txt"`, ""},
		{saysView, "host's git directory", `cat "$REPO/.git/config" || cat "$REPO/.git/HEAD" || ls "$REPO/.git/hooks" "$REPO/.git/refs"`, ""},
		{saysView, "host's tree", `cat "$REPO/main.go"`, ""},
		{saysView, "shadow and its like", `cat /etc/shadow || cat /etc/gshadow || cat /etc/sudoers || cat /etc/ssh/ssh_host_rsa_key || ls /etc/sudoers.d`, ""},
		{saysView, "system directories", `ls -d /sys /boot /mnt /srv /media /lost+found /usr/../sys /var/lib/docker /var/log /var/spool`, ""},
		{saysView, "sockets of daemons", `ls /run/docker.sock /var/run/docker.sock /run/dbus /run/systemd /run/containerd`, ""},
		{saysView, "symlinks to the outside", `ln -s /root s1; ln -s "$HOSTDIR/home/.ssh/id_rsa" s2; ln -s /proc/1/root s3; cat s2 || ls s3/etc || ls s1/.ssh`, ""},
		{saysView, "dot dot to the outside", `cat ../../../../../../../../../../../../etc/shadow || cat /proc/self/root/../../etc/shadow || cat /proc/self/cwd/../../../../../../../etc/shadow`, ""},
		{saysView, "memory and devices", `head -c 1 /dev/mem || head -c 1 /dev/kmem || head -c 1 /dev/port || head -c 1 /dev/kmsg || head -c 1 /dev/sda || head -c 1 /dev/vda || head -c 1 /dev/fuse || head -c 1 /dev/net/tun || head -c 1 /dev/kvm || head -c 1 /dev/loop0`, ""},
		{saysView, "kernel's secrets in proc", `for f in kcore kmsg keys kallsyms timer_list sched_debug key-users; do [ -n "$(head -c 64 /proc/$f 2>/dev/null | tr -d '\0')" ] && echo $f; done; echo end`, `end`},
		{saysPrivate, "devices", `ls /dev | grep -v -x -E 'null|zero|full|random|urandom|tty|pts|ptmx|shm|fd|stdin|stdout|stderr'; echo end`, `end`},
		{saysPrivate, "what others left in private places", `ls -A /tmp /var/tmp /dev/shm | grep -v -E '^(/.*:)?$' | grep -v -x "$(echo $HOSTDIR | cut -d/ -f3)"; ls -A /run | grep -v -x agent-process; echo end`, `end`},
		{saysPrivate, "home of somebody else", `ls -A /home | grep -v -x "$(basename $HOME)"; echo end`, `end`},
		{saysPrivate, "environment of the supervisor", `env | grep -E 'CLAUDE_CODE_OAUTH|AWS_SECRET|XDG_|SSH_|SUDO_|AGENT_PROCESS_E2E'; echo end`, `end`},
		{saysPrivate, "host's address book", `grep -v -E '^(root|nobody|agent|daemon|` + hostUser() + `):' /etc/passwd; echo end`, `end`},
		{saysTree, "everything that can be written", `./probe writable | tr ' ' '\n' | grep -v -E "^(writable:|/dev/(null|zero|full|random|urandom|tty|shm|pts(/.*)?)|/tmp|/var/tmp|/run|$HOME|` + treeOf(h) + `|/proc/pressure/.*|/proc/1/(timerslack_ns|(task/[0-9]+/)?attr/.*))$"; echo end`, `end`},
	}
}

// hostUser is who the agent of an ordinary user is.
func hostUser() string {
	u, err := user.Current()
	if err != nil {
		return "agent"
	}
	return u.Username
}

// treeOf is where an agent finds its tree and its own git directory.
func treeOf(h *attacked) string { return filepath.Join(h.dir, "worktrees", "[a-z]+") + "(/.*)?" }

// writeAttacks try to change what is not the agent's.
func writeAttacks() []attack {
	return []attack{
		{saysTree, "write to the system", `touch /x || touch /usr/x || touch /etc/x || touch /bin/x || mkdir /opt/x || touch /dev/x || touch /var/x || echo x >> /etc/passwd || touch /home/x || mkdir /root/x`, ""},
		{saysTree, "write to host's objects", `d=$(cat .git/objects/info/alternates | head -1); test -d "$d" || exit 1; touch "$d/x" || mkdir "$d/pack/x" || rm -rf "$d"/?? "$d/pack" || chmod -R u+w "$d" || mv "$d" "$d.x"`, ""},
		{saysTree, "write beside the tree", `touch ../escaped; touch "$REPO/escaped"; mkdir -p "$REPO/.git/hooks"; touch "$REPO/.git/hooks/escaped" "$HOSTDIR/escaped" "$HOSTDIR/home/escaped"; echo end`, `.*end`},
		{saysTree, "replace the tree", `cd /; mv "$OLDPWD" /tmp/t || rmdir "$OLDPWD" || mv -T /tmp/t "$OLDPWD"`, ""},
		{saysTree, "our own binary inside", `b=/opt/agent-process/agent-process; echo x > $b || echo x >> $b || rm -f $b || mv $b /tmp/b || chmod 777 $b || ln $b ./b || cp /bin/true $b`, ""},
		{saysTree, "binaries of processes", `for p in /proc/[0-9]* /proc/self /proc/thread-self; do (echo x >> $p/exe) 2>/dev/null && echo wrote $p; (echo x > $p/root/etc/passwd) 2>/dev/null && echo passwd $p; done; echo end`, `end`},
		{saysTree, "switches of the kernel", `for f in sys/kernel/core_pattern sys/kernel/modprobe sys/kernel/hostname sys/kernel/sysrq sys/vm/drop_caches sys/user/max_user_namespaces sys/net/ipv4/ip_forward sys/fs/binfmt_misc/register sysrq-trigger 1/oom_score_adj 1/comm 1/uid_map self/uid_map self/setgroups irq/default_smp_affinity; do (echo 1 > /proc/$f) 2>/dev/null && echo wrote $f; done; echo end`, `end`},
		{saysTree, "hook socket and its directory", `d=/run/agent-process; rm -f $d/hook.sock || mv $d /run/x || touch $d/x || ln -sf /tmp/x $d/hook.sock || chmod 777 $d`, ""},
		{saysTree, "hard links out of read-only places", `ln /usr/bin/env ./l || ln /etc/passwd ./l || ln /proc/self/exe ./l`, ""},
		{saysTree, "devices of its own", `mknod ./d c 1 1 || mknod /tmp/d b 8 0 || mknod /dev/d c 1 1`, ""},
	}
}

// plantTools puts toolchains into the home and onto PATH, each with a
// credential beside what is needed.
func (h *attacked) plantTools() {
	h.t.Helper()
	secret := planted + " of a toolchain\n"
	for _, name := range []string{
		".cargo/credentials.toml", ".cargo/credentials", ".cargo/config.toml", ".nvm/.npmrc", ".nvm/versions/node/v22.1.0/.npmrc",
		".nvm/versions/node/v22.1.0/etc/npmrc", ".rustup/credentials", ".volta/.npmrc", ".volta/tools/image/node/20.0.0/etc/npmrc",
		".pyenv/.env", ".pyenv/.pypirc", ".pyenv/.netrc", ".pyenv/versions/3.12/pip.conf", "sdk/go1.99/.netrc", "sdk/go1.99/secrets.json", "go/pkg/private.txt", ".local/share/keyrings/login",
	} {
		h.write("home/"+name, secret)
	}
	for _, name := range []string{
		".cargo/bin/mycargo", ".nvm/versions/node/v22.1.0/bin/mynode", ".rustup/toolchains/stable-x/bin/myrustc", ".volta/bin/myvolta",
		".pyenv/shims/mypython", "sdk/go1.99/bin/mygo", "go/bin/mygobin", ".local/bin/mytool",
	} {
		h.program("home/"+name, "#!/bin/sh\necho $(basename $0) runs\n")
	}
	h.write("home/.rustup/settings.toml", "default_toolchain = \"stable-x\"\n")
	h.write("home/sdk/go1.99/VERSION", "go1.99\n")
	h.write("home/.nvm/versions/node/v22.1.0/include/node.h", "\n")
	h.copy("/usr/bin/id", "home/go/bin/rootid")
	if err := os.Chmod(filepath.Join(h.home, "go/bin/rootid"), 0o755|os.ModeSetuid|os.ModeSetgid); err != nil {
		h.t.Fatal(err)
	}
	var path []string
	for _, dir := range []string{".cargo/bin", ".nvm/versions/node/v22.1.0/bin", ".volta/bin", ".pyenv/shims", "sdk/go1.99/bin", "go/bin", ".local/bin"} {
		path = append(path, filepath.Join(h.home, dir))
	}
	h.env = append(h.env, "PATH="+strings.Join(path, ":")+":/usr/local/bin:/usr/bin:/bin")
}

func toolAttacks() []attack {
	return []attack{
		{
			saysTools, "tools run", `for t in mycargo mynode myrustc myvolta mypython mygo mygobin mytool; do $t; done`,
			`mycargo runs mynode runs myrustc runs myvolta runs mypython runs mygo runs mygobin runs mytool runs`,
		},
		{saysTools, "poison a tool", `for t in mycargo mynode myrustc myvolta mypython mygo mygobin mytool; do f=$(command -v $t); (echo evil >> $f) 2>/dev/null && echo $t; (touch $(dirname $f)/git) 2>/dev/null && echo dir $t; rm -f $f 2>/dev/null && echo rm $t; done; echo end`, `end`},
		{saysTools, "home around the tools", `ls -A "$HOSTDIR/home" | grep -v -x -E '\.cargo|\.nvm|\.rustup|\.volta|\.pyenv|sdk|go|\.local|escaped'; ls -A "$HOSTDIR/home/.cargo" | grep -v -x bin; echo end`, `end`},
		{saysPrivileges, "set-user-id program of the host", `rootid -u; rootid -ru; rootid -G`, `([1-9][0-9]*) ([1-9][0-9]*) [1-9][0-9]*`},
	}
}

// privilegeAttacks try to become more than the agent is.
func privilegeAttacks() []attack {
	same := make([]string, 0, 6)
	for _, ns := range namespaces() {
		same = append(same, `[ "$(readlink /proc/self/ns/`+ns+`)" != "$HOST_`+ns+`" ] || echo same `+ns)
	}
	return []attack{
		{saysPrivileges, "capabilities", `grep -E '^Cap' /proc/self/status | grep -v -E '\s0+$'; grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status`, `NoNewPrivs: 1 Seccomp: 2`},
		{saysPrivileges, "system calls that mount, trace, load, enter", `./probe __attack calls`, `tried [0-9]+`},
		{saysPrivileges, "mount", `mount -t tmpfs none /tmp || mount --bind /etc /tmp || mount -o remount,rw / || umount /proc/sys || umount -l /etc || mount -t proc proc /tmp || mount -t overlay -o lowerdir=/etc,upperdir=/tmp,workdir=/var/tmp overlay /etc`, ""},
		{saysPrivileges, "set-user-id of its own", `cp /usr/bin/id ./i; chmod 6755 ./i; ./i -u | grep -x 0`, ""},
		{saysPrivileges, "become root", `su -c id root </dev/null || sudo -n id || newgrp root </dev/null || setpriv --reuid 0 id || chroot / id || chown 0:0 main.go`, ""},
		{saysPrivileges, "file capabilities", `cp /usr/bin/id ./c; setcap cap_sys_admin+ep ./c`, ""},
		{saysPrivileges, "ping", `ping -c 1 -W 1 192.0.2.1 || ping -6 -c 1 -W 1 2001:db8::1`, ""},
		{saysLandlock, "landlock is there, PID 1 is above it", `kill -TERM 1; kill -USR1 1; ./probe __attack abstract "$ABSTRACT" && echo end`, `(.*Operation not permitted )+end`},
		{saysUserns, "user namespace", `unshare -Ur true || unshare -U true || unshare -rm true`, ""},
		{saysUserns, "user namespaces by the kernel's count", `cat /proc/sys/user/max_user_namespaces`, `0`},
		{saysUserns, "other namespaces", `unshare -m true || unshare -n true || unshare -p -f true || unshare -i true || unshare -u true || unshare -C true || nsenter -t 1 -a true || nsenter -t 1 -m true`, ""},
		{saysNamespaces, "namespaces of the host", strings.Join(same, "; ") + `; echo end`, `end`},
		{saysNamespaces, "shared memory of the host", `tail -n +2 /proc/sysvipc/shm; tail -n +2 /proc/sysvipc/msg; tail -n +2 /proc/sysvipc/sem; echo end`, `end`},
		{saysNamespaces, "name of the host", `hostname; hostname evil 2>/dev/null; hostname`, `sandbox sandbox`},
		{saysNamespaces, "control groups", `ls /sys/fs/cgroup || mkdir /sys/fs/cgroup/x || cat /proc/self/cgroup | grep -E '\.\.|agent-process'`, ""},
		{saysNamespaces, "abstract socket of the host", `./probe __attack abstract "$ABSTRACT" && echo end`, `end`},
	}
}

// processAttacks go at other processes.
func processAttacks() []attack {
	return []attack{
		{saysNamespaces, "processes of the host", `n=$(ls /proc | grep -c '^[0-9]'); [ $n -le 12 ] && echo few || ls /proc`, `few`},
		{saysNamespaces, "kill a process of the host", `kill -9 "$VICTIM" || kill -9 -"$VICTIM" || renice 19 -p "$VICTIM"`, ""},
		{saysInit, "files of PID 1", `for f in environ mem exe root cwd maps fd/0 fd/1 stack syscall pagemap auxv io; do (cat /proc/1/$f | head -c 1 | grep -q .) 2>/dev/null && echo read $f; done; ls /proc/1/root/ /proc/1/cwd/ /proc/1/fd 2>/dev/null; echo end`, `end`},
		{saysInit, "signals to PID 1", `for s in 1 2 3 4 6 7 8 9 10 11 12 13 14 15 19 20 23 24 31 34 64; do kill -$s 1; done 2>/dev/null; echo alive`, `alive`},
		{saysInit, "limits of PID 1", `./probe __attack prlimit && echo end`, `end`},
		{saysInit, "trace", `sleep 100 & ./probe __attack trace $! && echo end; kill $!`, `end`},
		{saysInit, "memory of PID 1", `(dd if=/dev/zero of=/proc/1/mem bs=1 count=1) || (exec 3<>/proc/1/mem)`, ""},
		{saysInit, "orphans", `./probe zombies`, `all reaped`},
		{saysView, "files that were left open", `./probe descriptors; echo end`, `end`},
	}
}

// checkIdentity judges who the agent was.
func checkIdentity(t *testing.T, p probed) {
	t.Helper()
	want, err := native.DefaultIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if p.Output != strconv.Itoa(want.UID) || want.UID == 0 {
		t.Errorf("%s: the agent was %q, want %d", saysIdentity, p.Output, want.UID)
	}
	if os.Getuid() != 0 {
		return
	}
	if u, err := user.LookupId(p.Output); err == nil {
		t.Errorf("%s: the agent was %q", saysIdentity, u.Username)
	}
}

// victim is what stands on the host for agents to attack: a process of the
// agent's own uid, an abstract socket, a segment of shared memory.
type victim struct {
	pid      int
	abstract string
	hits     *world
}

func newVictim(t *testing.T, h *attacked) *victim {
	t.Helper()
	who, err := native.DefaultIdentity()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(who.UID), Gid: uint32(who.GID)}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v := &victim{pid: cmd.Process.Pid, abstract: fmt.Sprintf("attack-%d", os.Getpid()), hits: &world{}}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("the victim is gone: %v", err)
		}
		_ = cmd.Wait() // killed just above
	})
	v.hits.listen(t, "unix", "@"+v.abstract)
	v.hits.listen(t, "unix", filepath.Join(h.dir, "daemon.sock"))
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o666)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
			t.Error(err)
		}
	})
	return v
}

// check looks whether the victim lives and was left alone.
func (v *victim) check(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(v.pid, 0); err != nil {
		t.Errorf("the host's process: %v", err)
	}
	v.hits.check(t)
}

// TestAttackInit sends every signal there is to PID 1 and to every thread, and
// then wants PID 1 to start one more program.
func TestAttackInit(t *testing.T) {
	w := newWorld(t)
	h := newAttacked(t, nil)
	r := h.start("signals", []string{"--check", "echo alive; touch work.txt"}, "./probe", "__attack", "signals")
	if !strings.Contains(r.transcript(), "alive") || r.status != 3 {
		t.Errorf("%s: status %d, outcome %+v\n%s%s", saysInit, r.status, r.outcome(), r.transcript(), r.stderr.String())
	}
	r = h.start("everybody", []string{"--check", "echo alive"}, "sh", "-c", "kill -9 -1; echo still; kill -STOP 1; kill -9 1; touch work.txt")
	if !strings.Contains(r.transcript(), "still\n") || !strings.Contains(r.transcript(), "\nalive\n") || r.status != 0 {
		t.Errorf("%s: status %d, outcome %+v\n%s%s", saysInit, r.status, r.outcome(), r.transcript(), r.stderr.String())
	}
	w.check(t)
}

// TestAttackIdentity starts agents with what sudo leaves in the environment.
func TestAttackIdentity(t *testing.T) { //nolint:tparallel // alone: where its world listens, no other can
	w := newWorld(t)
	somebody, err := user.Lookup("daemon")
	if err != nil {
		t.Fatal(err)
	}
	dedicated, err := native.DefaultIdentity()
	if err != nil {
		t.Fatal(err)
	}
	own, sudoer := strconv.Itoa(dedicated.UID), somebody.Uid
	if os.Getuid() != 0 {
		sudoer = own // an ordinary user's agent is that user, whatever is said
	}
	for _, tt := range []struct{ name, uid, gid, want string }{
		{"root by way of sudo", "0", "0", own},
		{"a uid of nobody's", "4242424", "4242424", own},
		{"no number", "-1", "x", own},
		{"who called sudo", somebody.Uid, somebody.Gid, sudoer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newAttacked(t, nil)
			h.env = append(h.env, "SUDO_UID="+tt.uid, "SUDO_GID="+tt.gid)
			r := h.start("who", nil, "sh", "-c", "echo $(id -u) $(stat -c %u main.go); touch work.txt")
			if got := strings.TrimSpace(r.transcript()); got != tt.want+" "+tt.want {
				t.Errorf("%s: it ran as %q, want %q\n%s", saysIdentity, got, tt.want, r.stderr.String())
			}
			if info, err := os.Stat(filepath.Join(h.repo, ".git/refs/heads")); err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
				t.Errorf("the repository changed hands: %v %v", info, err)
			}
		})
	}
	t.Cleanup(func() { w.check(t) })
}
