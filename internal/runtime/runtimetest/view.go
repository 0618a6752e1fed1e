package runtimetest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// views are behaviours of what programs see of files.
func views() []behaviour {
	return []behaviour{
		{"identity", testIdentity},
		{"host files are not there", testHostFiles},
		{"nothing outside is writable", testWriteOutside},
		{"private places are writable", testWritePrivate},
		{"binds and awkward paths", testBinds},
		{"files of root are readable where they are shown", testRootFiles},
		{"covered .git", testCoveredGit},
		{"refused targets", testRefusedTargets},
		{"spec files", testSpecFiles},
		{"overlay", testOverlay},
		{"views of an overlay that is written to", testOverlayViews},
		{"refused overlays", testRefusedOverlays},
		{"tool path", testToolPath},
	}
}

func bind(source, target string, readOnly bool) sandbox.Mount {
	return sandbox.Mount{Kind: sandbox.MountBind, Source: source, Target: target, ReadOnly: readOnly}
}

func testIdentity(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	if uid := s.sh(t, box, "id -u"); uid != strconv.Itoa(s.Identity.UID) || uid == "0" {
		t.Errorf("uid %s, want %d", uid, s.Identity.UID)
	}
	if name := s.sh(t, box, "id -un"); name == "" || name == "root" {
		t.Errorf("name %q", name)
	}
	if host := s.sh(t, box, "hostname"); host != "sandbox" {
		t.Errorf("host name %q", host)
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if got := s.sh(t, box, "grep "+set+" /proc/self/status | cut -f2"); strings.Trim(got, "0") != "" {
			t.Errorf("%s is %s", set, got)
		}
	}
	if got := s.sh(t, box, "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | cut -f2 | tr '\\n' ' '"); got != "1 2" {
		t.Errorf("NoNewPrivs and Seccomp: %q", got)
	}
}

func testHostFiles(s *suite) {
	t := s.t
	secret := filepath.Join(s.dir(t), "secret")
	s.write(t, secret, "host secret", 0o644)
	box := s.start(t, s.spec(t))
	s.fails(t, box, "cat "+secret)
	for _, name := range []string{
		"/etc/shadow", "/etc/sudoers", "/proc/1/environ", "/proc/1/root/etc/passwd", "/proc/1/cwd/etc", "/proc/1/mem", "/proc/1/maps",
		"/proc/1/fd/0", "/proc/1/exe", "/var/run/docker.sock", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/net/tun", "/root/.ssh",
	} {
		s.fails(t, box, "cat "+name)
	}
	for _, name := range []string{"/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/timer_list", "/proc/kallsyms"} {
		s.fails(t, box, "test -n \"$(head -c 64 "+name+" | tr -d '\\0')\"")
	}
	if got := s.sh(t, box, "ls /home; find /sys /root /boot /mnt /srv -mindepth 1 2>/dev/null || true"); got != "agent" {
		t.Errorf("visible: %q", got)
	}
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		s.fails(t, box, "test -n \"$(ls -A "+home+")\"")
	}
}

func testWriteOutside(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	for _, script := range []string{
		"touch /x", "touch /usr/x", "touch /etc/x", "touch /bin/x", "mkdir /opt/x", "touch /dev/x", "touch /var/x", "echo x >> /etc/passwd",
		"chmod u+w /etc/passwd", "rm /etc/hosts", "mv /etc /tmp/etc", "echo x > " + sandbox.BinaryPath, "chmod 777 " + sandbox.BinaryPath, "rm -f " + sandbox.BinaryPath,
		"echo x > /proc/sys/kernel/hostname", "echo h > /proc/sysrq-trigger", "echo 1 > /proc/sys/user/max_user_namespaces",
		"echo x > /proc/sys/kernel/core_pattern", "chmod 666 /dev/null", "echo x > /proc/1/oom_score_adj", "echo x > /proc/1/comm",
	} {
		s.fails(t, box, script)
	}
}

func testWritePrivate(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/home/agent"} {
		s.sh(t, box, "cd "+dir+" && echo x > a && mkdir b && mv a b/c && ln b/c d && ln -s d e && mkfifo f && rm -r b d e f && mktemp")
	}
	s.sh(t, box, "cat <<EOF > /dev/null\nheredoc\nEOF")
	other := s.start(t, s.spec(t))
	if got := s.sh(t, other, "ls /tmp /var/tmp /home/agent | grep -v : | tr -d '\\n'"); got != "" {
		t.Errorf("another sandbox sees %q", got)
	}
}

func testBinds(s *suite) {
	t := s.t
	for _, target := range []string{"/project", "/tmp/a b/ünï cödé", "/home/me/src", "/root/x/y", "/var/lib/thing", "/data/$x'\"q", "/srv/a,b:c\\d"} {
		rw, ro := s.dir(t), s.dir(t)
		s.write(t, filepath.Join(ro, "f"), "from the host", 0o644)
		spec := s.spec(t)
		spec.Mounts = []sandbox.Mount{
			bind(rw, target, false), bind(ro, target+"-ro", true),
			{Kind: sandbox.MountBind, Source: "/no/such/source", Target: "/opt/none", Optional: true},
			{Kind: sandbox.MountTmpfs, Target: target + "-mem", Size: 1 << 20, NoExec: true},
			{Kind: sandbox.MountBind, Source: ro, Target: "/opt/no-exec", ReadOnly: true, NoExec: true},
		}
		if strings.ContainsAny(target, ",\"") {
			// A runtime may refuse such a path, and say so before anything is made.
			box, err := s.Runtime.Start(s.ctx, spec)
			if err != nil {
				if sandbox.ErrorCode(err) != sandbox.CodeRuntime || sandbox.ErrorHint(err) == "" || !strings.Contains(err.Error(), "cannot mount paths") {
					t.Errorf("%q: %v", target, err)
				}
				continue
			}
			if err := box.Close(); err != nil {
				t.Error(err)
			}
		}
		box := s.start(t, spec)
		r := s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", "echo inside > f && mkdir d && mv f d/g"}, Dir: target})
		if r.exit.Code != 0 {
			t.Errorf("%q: write: %s", target, r.stderr)
		}
		if data, err := os.ReadFile(filepath.Join(rw, "d/g")); err != nil || string(data) != "inside\n" {
			t.Errorf("%q: host sees %q, %v", target, data, err)
		}
		r = s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", "cat f; touch x || rm -f f || chmod 777 ."}, Dir: target + "-ro"})
		if r.exit.Code == 0 || r.stdout != "from the host" {
			t.Errorf("%q: read-only bind: exit %d, %q", target, r.exit.Code, r.stdout)
		}
		s.write(t, filepath.Join(ro, "program"), "#!/bin/sh\n", 0o755)
		r = s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", "cat f; touch x || ./program"}, Dir: "/opt/no-exec"})
		if r.exit.Code != 126 || r.stdout != "from the host" {
			t.Errorf("%q: noexec bind: exit %d, %q", target, r.exit.Code, r.stdout)
		}
		r = s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", "printf '#!/bin/sh\\n' > t && chmod 755 t && ./t"}, Dir: target + "-mem"})
		if r.exit.Code != 126 {
			t.Errorf("%q: program on a noexec mount: exit %d", target, r.exit.Code)
		}
		r = s.run(t, box, sandbox.Command{Argv: []string{"/bin/sh", "-c", "head -c 2000000 /dev/zero > big"}, Dir: target + "-mem"})
		if r.exit.Code == 0 {
			t.Errorf("%q: 2 MB on a mount of 1 MiB", target)
		}
	}
}

// testRootFiles shows what only the invoking user may read: under root, and a
// umask of 077, that is not the agent's user.
func testRootFiles(s *suite) {
	t := s.t
	dir := s.dir(t)
	private := filepath.Join(dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	s.write(t, filepath.Join(private, "f"), "objects", 0o400)
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{bind(private, "/shown", true), bind(filepath.Join(private, "f"), "/file", true)}
	box := s.start(t, spec)
	if got := s.sh(t, box, "cat /shown/f /file"); got != "objectsobjects" {
		t.Errorf("read %q", got)
	}
	s.fails(t, box, "chmod 644 /shown/f || touch /shown/x || echo x > /file")
}

func testCoveredGit(s *suite) {
	t := s.t
	tree := s.dir(t)
	s.write(t, filepath.Join(tree, ".git"), "gitdir: elsewhere\n", 0o644)
	s.own(t, filepath.Join(tree, ".git"))
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{bind(tree, "/tree", false), bind(filepath.Join(tree, ".git"), "/tree/.git", true)}
	box := s.start(t, spec)
	for _, script := range []string{"rm -f /tree/.git", "mv /tree/.git /tree/x", "ln -sf /tmp /tree/.git", "echo x > /tree/.git", "mv -T /tmp /tree/.git"} {
		s.fails(t, box, script)
	}
	s.sh(t, box, "touch /tree/ok")
}

func testRefusedTargets(s *suite) {
	t := s.t
	dir := s.dir(t)
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		mounts []sandbox.Mount
	}{
		{"below the host's /usr", []sandbox.Mount{bind(dir, "/usr/local/thing", true)}},
		{"the root", []sandbox.Mount{bind(dir, "/", false)}},
		{"relative", []sandbox.Mount{bind(dir, "work", false)}},
		{"through a link left by an agent", []sandbox.Mount{bind(dir, "/tree", false), bind(dir, "/tree/link/passwd", false)}},
		{"no source", []sandbox.Mount{bind("/no/such/source", "/x", false)}},
	} {
		spec := s.spec(t)
		spec.Mounts = tc.mounts
		if box, err := s.Runtime.Start(s.ctx, spec); err == nil {
			t.Errorf("%s: started", tc.name)
			_ = box.Close() // the test failed already
		}
	}
	spec := s.spec(t)
	spec.Identity.UID = 0
	if box, err := s.Runtime.Start(s.ctx, spec); err == nil {
		t.Error("root: started")
		_ = box.Close() // the test failed already
	}
}

func testSpecFiles(s *suite) {
	t := s.t
	home := s.dir(t)
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{bind(home, spec.Home, false)}
	spec.Files = []sandbox.File{
		{Path: "/etc/claude-code/managed-settings.json", Data: []byte("{}")},
		{Path: sandbox.RunDir + "/ca.pem", Data: []byte("ca")},
		{Path: spec.Home + "/.config/owned", Data: []byte("mine"), Mode: 0o600, Owned: true},
		{Path: spec.Home + "/.config/fixed", Data: []byte("fixed")},
		{Path: "/tmp/fixed", Data: []byte("fixed")},
		{Path: "/opt/big", Data: []byte(strings.Repeat("x", 1<<20)), Mode: 0o755},
	}
	for range 2 { // the second time the home has what the first one left
		spec.ID = s.spec(t).ID
		box := s.start(t, spec)
		if got := s.sh(t, box, "cat /etc/claude-code/managed-settings.json "+sandbox.RunDir+"/ca.pem ~/.config/owned ~/.config/fixed /tmp/fixed; wc -c < /opt/big"); got != "{}caminefixedfixed1048576" {
			t.Errorf("files: %q", got)
		}
		s.sh(t, box, "echo changed > ~/.config/owned")
		for _, name := range []string{"/etc/claude-code/managed-settings.json", sandbox.RunDir + "/ca.pem", "~/.config/fixed", "/tmp/fixed"} {
			s.fails(t, box, "echo x > "+name+" || chmod 666 "+name+" || rm -f "+name+" || mv "+name+" /tmp/y")
		}
		if err := box.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func testOverlay(s *suite) {
	t := s.t
	base := s.dir(t)
	dir := func(names ...string) string {
		name := filepath.Join(append([]string{base}, names...)...)
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		s.own(t, name)
		return name
	}
	// Longer than the options of a file system may be.
	long := dir(strings.Repeat("long", 50))
	lower, upper, work := dir(filepath.Base(long), "lower,a:b"), dir(filepath.Base(long), "upper"), dir(filepath.Base(long), "work")
	dir(filepath.Base(long), "lower,a:b", "sub")
	for _, name := range []string{"f", "sub/g", "h"} {
		s.write(t, filepath.Join(lower, name), "lower", 0o644)
		s.own(t, filepath.Join(lower, name))
	}
	spec := s.spec(t)
	spec.Mounts = []sandbox.Mount{{Kind: sandbox.MountOverlay, Lower: lower, Upper: upper, Work: work, Target: "/tree"}}
	box := s.start(t, spec)
	s.sh(t, box, "cd /tree && echo more >> f && rm h && mv sub sub2 && echo new > n && rm -r sub2 && mkdir sub && touch sub/x")
	if got := s.sh(t, box, "cd /tree && cat f && ls sub && test ! -e h && echo ok"); got != "lowermore\nx\nok" {
		t.Errorf("inside: %q", got)
	}
	if data, err := os.ReadFile(filepath.Join(lower, "f")); err != nil || string(data) != "lower" {
		t.Errorf("lower changed: %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(upper, "f")); err != nil || string(data) != "lowermore\n" {
		t.Errorf("upper: %q, %v", data, err)
	}
}

func testToolPath(s *suite) {
	t := s.t
	home := s.dir(t)
	chain := filepath.Join(home, "toolchains", "thing")
	bin := filepath.Join(chain, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(chain, "include"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	s.write(t, filepath.Join(bin, "mytool"), "#!/bin/sh\ncat "+chain+"/data\n", 0o755)
	s.write(t, filepath.Join(chain, "data"), "tool data", 0o644)
	s.write(t, filepath.Join(chain, "credentials.toml"), "token", 0o644)
	s.write(t, filepath.Join(chain, ".npmrc"), "token", 0o644)
	s.write(t, filepath.Join(home, "other"), "private", 0o644)
	spec := s.spec(t)
	spec.ToolPath = bin + ":/usr/bin:/bin:relative:/no/such/dir"
	box := s.start(t, spec)
	path := box.Facts().ToolPath
	if box.Facts().Image != "" { // programs of this machine are none of an image's
		s.fails(t, box, "ls "+home)
		r := s.run(t, box, sandbox.Command{Argv: []string{"id", "-u"}, Env: []string{"PATH=" + path}})
		if strings.TrimSpace(r.stdout) != strconv.Itoa(s.Identity.UID) {
			t.Errorf("id on the image's path %q: %+v", path, r)
		}
		return
	}
	r := s.run(t, box, sandbox.Command{Argv: []string{"mytool"}, Env: []string{"PATH=" + path}})
	if r.exit.Code != 0 || r.stdout != "tool data" {
		t.Errorf("tool: %+v on %q", r, path)
	}
	if strings.Contains(path, "relative") || strings.Contains(path, filepath.Dir(sandbox.BinaryPath)) {
		t.Errorf("path %q", path)
	}
	if got := s.sh(t, box, "cat "+chain+"/credentials.toml "+chain+"/.npmrc 2>/dev/null || true"); got != "" {
		t.Errorf("credentials: %q", got)
	}
	s.fails(t, box, "cat "+home+"/other")
	s.fails(t, box, "touch "+bin+"/x")
}

// listenAbstract listens on an abstract socket of the host.
func listenAbstract(t *testing.T, name string) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // the test is over
	return l
}
