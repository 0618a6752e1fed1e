package runtimetest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// line is a behaviour that a script shows in a sandbox that all of them share.
type line struct {
	name   string
	script string
	want   string // what it prints; with refused, nothing is looked at
	// refused says that the script must fail.
	refused bool
}

// lines are behaviours that need no sandbox of their own.
func lines() []line {
	return slices.Concat(identityLines(), deviceLines(), everydayLines(), refusedLines())
}

func identityLines() []line {
	return []line{
		{name: "one group", script: `[ "$(id -G)" = "$(id -g)" ] && echo one`, want: "one"},
		{name: "home of the passwd entry", script: `sed -n "s/^[^:]*:x:$(id -u):[^:]*:[^:]*:\([^:]*\):.*/\1/p" /etc/passwd`, want: "/home/agent"},
		{name: "three users", script: `wc -l < /etc/passwd | tr -d ' '`, want: "3"},
		{name: "resolver is the gateway", script: `sed -n 's/^nameserver //p' /etc/resolv.conf`, want: "127.0.0.1"},
		{name: "localhost has its names", script: `grep -c '^127.0.0.1.*localhost' /etc/hosts`, want: "1"},
		{name: "only lo", script: `ls /proc/sys/net/ipv4/conf | sort | tr '\n' ' '`, want: "all default lo"},
		{name: "no routes", script: `tail -n +2 /proc/net/route | wc -l | tr -d ' '`, want: "0"},
		{name: "only its own processes", script: `[ $(ls -d /proc/[0-9]* | wc -l) -lt 10 ] && echo few`, want: "few"},
		{name: "read-only root", script: `awk '$2 == "/" { split($4, o, ","); print o[1] }' /proc/mounts | tail -1`, want: "ro"},
		{name: "what is writable is nosuid and nodev", script: `awk '$2 ~ "^/(tmp|var/tmp|home/agent|dev/shm)$" && !($4 ~ /nosuid/ && $4 ~ /nodev/) { print $2 }' /proc/mounts`},
		{name: "shared memory for browsers", script: `[ $(df -k /dev/shm | awk 'NR == 2 { print $2 }') -ge 524288 ] && echo enough`, want: "enough"},
	}
}

func deviceLines() []line {
	return []line{
		{name: "harmless devices only", script: `for f in $(ls /dev); do case $f in null|zero|full|random|urandom|tty|fd|stdin|stdout|stderr|pts|ptmx|shm|core|console|mqueue) ;; *) echo $f ;; esac; done`},
		{name: "/dev/zero", script: `head -c 3 /dev/zero | od -An -tx1 | tr -d ' \n'`, want: "000000"},
		{name: "/dev/full", script: `echo x > /dev/full`, refused: true},
		{name: "/dev/urandom", script: `[ "$(head -c 16 /dev/urandom | od -An -tx1)" != "$(head -c 16 /dev/urandom | od -An -tx1)" ] && echo differs`, want: "differs"},
	}
}

func everydayLines() []line {
	return []line{
		{name: "standard streams by their names", script: `echo named > /dev/stdout && echo x > /dev/stderr && cat /dev/stdin`, want: "named"},
		{name: "odd file names", script: `f="/tmp/$(printf 'a\001\377 b\nc')"; echo x > "$f" && cat "$f"`, want: "x"},
		{name: "programs of one's own", script: `printf '#!/bin/sh\necho $0 $1\n' > /tmp/own && chmod +x /tmp/own && /tmp/own y`, want: "/tmp/own y"},
		{name: "deep directories", script: `cd /tmp && p=$(seq 60 | tr '\n' / ) && mkdir -p deep/$p && [ -d deep/$p ] && rm -r deep && echo made`, want: "made"},
		{name: "large sparse files", script: `truncate -s 5368709121 /tmp/sparse && stat -c %s /tmp/sparse && rm /tmp/sparse`, want: "5368709121"},
		{name: "long arguments", script: `set -- "$(head -c 100000 /dev/zero | tr '\0' a)"; /bin/echo "$1" | wc -c | tr -d ' '`, want: "100001"},
		{name: "long pipes", script: `seq 20000 | sort | cat | sort -n | tail -1`, want: "20000"},
		{name: "fifos", script: `mkfifo /tmp/p && (echo through > /tmp/p & cat /tmp/p)`, want: "through"},
		{name: "hard links", script: `echo x > /tmp/h1 && ln /tmp/h1 /tmp/h2 && stat -c %h /tmp/h2`, want: "2"},
		{name: "modes", script: `touch /tmp/m && chmod 640 /tmp/m && stat -c %a /tmp/m`, want: "640"},
		{name: "times", script: `touch -d '2001-02-03 04:05:06' /tmp/t && date -u -r /tmp/t +%Y`, want: "2001"},
		{name: "git", script: `export HOME=/tmp; git init -q /tmp/r && cd /tmp/r && echo a > f && git add f && git -c user.name=n -c user.email=e commit -qm m && git log --format=%s`, want: "m"},
	}
}

func refusedLines() []line {
	all := []line{
		{name: "links do not lead out", script: `ln -s /etc/shadow /tmp/l && cat /tmp/l`},
		{name: "owner of a file", script: `touch /tmp/o && chown 0 /tmp/o`},
		{name: "devices", script: `mknod /tmp/d c 1 3`},
		{name: "mounts", script: `mount -t tmpfs none /tmp`},
		{name: "bind mounts", script: `mount --bind /tmp /home/agent`},
		{name: "remounts", script: `mount -o remount,rw /`},
		{name: "unmounts", script: `umount /tmp`},
		{name: "user namespaces", script: `unshare -U true`},
		{name: "other roots", script: `chroot / true`},
		{name: "another host name", script: `hostname other`},
		{name: "another time", script: `date -s 2001-01-01; [ $(date +%Y) = 2001 ]`},
		{name: "kernel log", script: `dmesg`},
		{name: "root", script: `su -c true`},
		{name: "processes outside", script: `kill -0 2147483; kill -9 1; kill -0 1`},
	}
	for i := range all {
		all[i].name, all[i].refused = "refused: "+all[i].name, true
	}
	return all
}

// runLines shows all lines in one sandbox, each as a test of its own.
func (s *suite) runLines(t *testing.T) {
	t.Helper()
	spec := s.spec(t)
	spec.Network = sandbox.NetworkGateway
	box := s.start(t, spec)
	for _, l := range lines() {
		t.Run(l.name, func(t *testing.T) {
			if l.refused {
				s.fails(t, box, l.script)
			} else if got := s.sh(t, box, l.script); got != l.want {
				t.Errorf("%s: got %q, want %q", l.script, got, l.want)
			}
		})
	}
	for _, ns := range []string{"pid", "net", "ipc", "uts", "mnt"} {
		t.Run("own namespace: "+ns, func(t *testing.T) {
			outside, err := os.Readlink("/proc/self/ns/" + ns)
			if err != nil {
				t.Fatal(err)
			}
			if inside := s.sh(t, box, "readlink /proc/self/ns/"+ns); inside == outside || !strings.HasPrefix(inside, ns+":") {
				t.Errorf("inside %q, outside %q", inside, outside)
			}
		})
	}
	s.table(t, box)
}

// table says what the sandboxes of a runtime have.
func (s *suite) table(t *testing.T, box sandbox.Sandbox) {
	t.Helper()
	has := box.Facts()
	row := func(name string, value any) { t.Logf("| %-22s | %v |", name, value) }
	row("runtime", has.Runtime)
	row("rootless", has.Rootless)
	row("image", has.Image)
	row("landlock", has.LandlockABI)
	row("seccomp", has.Seccomp)
	row("TCP beside the proxy", map[bool]string{true: "judged", false: "unreachable"}[has.Redirect])
	for _, limit := range []string{"memory", "pids", "cpus", "disk"} {
		row(limit, has.LimitedBy[limit])
	}
	row("notes", strings.Join(has.Notes, "; "))
	row("behaviours", len(behaviours())+len(lines())+5)
}
