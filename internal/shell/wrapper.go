package shell

import (
	"slices"
	"strings"
)

// options are those that a wrapper takes before the command that it runs.
type options struct {
	values    string   // letters that take a value
	flags     string   // letters that do not
	long      []string // words whose value is the next word
	longFlags []string // words that stand alone
	operands  int      // words that are its own, before the command
	assigns   bool     // NAME=value may stand before the command
	numbers   bool     // -5 is an option
}

// wrapperOptions knows the programs whose whole point is to run another.
func wrapperOptions(name string) (options, bool) {
	switch name {
	case "nohup", "fakeroot", "chronic", "unbuffer", "rlwrap", "catchsegv", "dbus-run-session", "linux32", "linux64", "tsocks", "torsocks", "torify", "proxychains", "proxychains4", "winpty", "eatmydata":
		return options{flags: "hVpqrf", longFlags: []string{"--help", "--version"}}, true
	case "setsid":
		return options{flags: "cfwhV", longFlags: []string{"--ctty", "--fork", "--wait"}}, true
	case "time", "gtime":
		return options{values: "fo", flags: "apqvlhV", long: []string{"--format", "--output"}, longFlags: []string{"--append", "--portability", "--quiet", "--verbose"}}, true
	case "timeout", "gtimeout":
		return options{values: "ks", flags: "vfp", long: []string{"--kill-after", "--signal"}, longFlags: []string{"--foreground", "--preserve-status", "--verbose"}, operands: 1}, true
	case "nice", "gnice":
		return options{values: "n", long: []string{"--adjustment"}, numbers: true}, true
	case "ionice":
		return options{values: "cnpPu", flags: "t", long: []string{"--class", "--classdata"}, longFlags: []string{"--ignore"}}, true
	case "stdbuf", "gstdbuf":
		return options{values: "ioe", long: []string{"--input", "--output", "--error"}}, true
	case "chroot":
		return options{longFlags: []string{"--skip-chdir"}, operands: 1}, true
	case "sudo":
		return options{values: "ugpCDRrtThUac", flags: "AbBEeHiKklnNPSsVv", long: []string{"--user", "--group", "--prompt", "--close-from", "--chdir", "--chroot", "--role", "--type", "--command-timeout", "--host", "--other-user"}, longFlags: []string{"--askpass", "--background", "--preserve-env", "--set-home", "--login", "--non-interactive", "--stdin", "--shell", "--edit", "--list", "--bell", "--reset-timestamp"}, assigns: true}, true
	case "doas":
		return options{values: "uCa", flags: "Lns"}, true
	case "pkexec":
		return options{long: []string{"--user"}, longFlags: []string{"--disable-internal-agent", "--keep-cwd"}}, true
	case "gosu", "su-exec", "setuidgid", "faketime", "chpst", "setlock":
		return options{flags: "nNxX", values: "uUbemotc", operands: operandsOf(name)}, true
	case "unshare":
		return options{values: "RwSGl", flags: "muipnUCTrfcha", long: []string{"--root", "--wd", "--setuid", "--setgid", "--setgroups", "--map-user", "--map-group", "--map-users", "--map-groups", "--propagation", "--monotonic", "--boottime"}, longFlags: []string{"--mount", "--uts", "--ipc", "--net", "--pid", "--user", "--cgroup", "--time", "--fork", "--map-root-user", "--map-current-user", "--map-auto", "--mount-proc", "--kill-child", "--keep-caps"}}, true
	case "nsenter":
		return options{values: "tSGW", flags: "amuinpUCTrwFZe", long: []string{"--target", "--setuid", "--setgid", "--wdns"}, longFlags: []string{"--all", "--mount", "--uts", "--ipc", "--net", "--pid", "--user", "--cgroup", "--time", "--preserve-credentials", "--root", "--wd", "--no-fork"}}, true
	}
	return moreWrappers(name)
}

// operandsOf is how many words stand before the command.
func operandsOf(name string) int {
	if name == "chpst" {
		return 0
	}
	return 1
}

func moreWrappers(name string) (options, bool) {
	switch name {
	case "strace", "ltrace":
		return options{values: "abeEIoOpPsSuUXlnxFA", flags: "cCdDfhikqrtTvVwyYzZ", long: []string{"--attach", "--output", "--trace", "--string-limit", "--user", "--env"}, longFlags: []string{"--follow-forks", "--summary", "--summary-only", "--decode-fds", "--seccomp-bpf", "--no-abbrev", "--output-separately", "--absolute-timestamps", "--relative-timestamps", "--syscall-times", "--instruction-pointer", "--quiet", "--debug"}}, true
	case "taskset":
		return options{flags: "acp", longFlags: []string{"--all-tasks", "--cpu-list", "--pid"}, operands: 1}, true
	case "chrt":
		return options{values: "TPD", flags: "abdfimoprRv", operands: 1}, true
	case "numactl":
		return options{values: "imNCplwxP", flags: "abHsh", long: []string{"--interleave", "--membind", "--cpunodebind", "--physcpubind", "--preferred"}, longFlags: []string{"--all", "--localalloc"}}, true
	case "prlimit":
		return options{values: "po", flags: "cdefilmnqrstuvxy"}, true
	case "setpriv":
		return options{long: []string{"--ambient-caps", "--inh-caps", "--bounding-set", "--ruid", "--euid", "--rgid", "--egid", "--reuid", "--regid", "--groups", "--securebits", "--pdeathsig", "--selinux-label", "--apparmor-profile"}, longFlags: []string{"--no-new-privs", "--nnp", "--clear-groups", "--keep-groups", "--init-groups", "--reset-env"}}, true
	case "setarch", "i386", "x86_64":
		return options{flags: "BFILRSTXZv3"}, true
	case "systemd-run":
		return options{values: "ptMHEu", flags: "GSPqrd", long: []string{"--unit", "--property", "--description", "--slice", "--uid", "--gid", "--nice", "--working-directory", "--setenv", "--on-active", "--on-boot", "--on-calendar"}, longFlags: []string{"--user", "--system", "--scope", "--pty", "--pipe", "--wait", "--collect", "--quiet", "--shell", "--same-dir", "--no-block", "--remain-after-exit", "--send-sighup", "--no-ask-password"}}, true
	case "systemd-inhibit":
		return options{long: []string{"--what", "--who", "--why", "--mode"}}, true
	case "valgrind", "heaptrack":
		return options{flags: "vqdh"}, true
	case "xvfb-run":
		return options{values: "enfpsw", flags: "al", long: []string{"--error-file", "--server-num", "--auth-file", "--xauth-protocol", "--server-args", "--wait"}, longFlags: []string{"--auto-servernum", "--listen-tcp"}}, true
	case "caffeinate":
		return options{values: "tw", flags: "dimsu"}, true
	case "dotenv", "envdir", "softlimit":
		return options{values: "efpvabcdlmost", flags: "oiq", operands: dirOperand(name), long: []string{"--file"}}, true
	case "entr":
		return options{values: "x", flags: "acdnprsz"}, true
	case "firejail", "proot", "bwrap":
		return options{values: "bRrwqk", long: boxOptions(), longFlags: boxFlags()}, true
	case "sem":
		return options{values: "j", flags: "u", long: []string{"--id", "--jobs"}, longFlags: []string{"--wait", "--fg", "--bg"}}, true
	case "aa-exec":
		return options{values: "pn", flags: "idv"}, true
	}
	return rareWrappers(name)
}

// rareWrappers are found among words by who judges commands, too; here they
// have a name in the list of what a line runs.
func rareWrappers(name string) (options, bool) {
	switch name {
	case "tini", "dumb-init", "catatonit", "run-one", "ifne", "systemd-cat", "dbus-launch", "enosys", "rr":
		return options{values: "tpw", flags: "sgvcn", long: []string{"--identifier", "--priority"}}, true
	case "ssh-agent":
		return options{values: "aEPtO", flags: "cDdks"}, true
	case "sshpass":
		return options{values: "fdpP", flags: "evhV"}, true
	case "choom", "cgexec", "cpulimit", "pipesz":
		return options{values: "npglsefm", flags: "vicoztk", long: []string{"--adjust", "--limit", "--size", "--set"}}, true
	case "logsave", "s6-setuidgid":
		return options{flags: "asv", operands: 1}, true
	case "runcon":
		return options{values: "tulr", flags: "c", long: []string{"--type", "--user", "--role", "--range"}}, true
	}
	return options{}, false
}

func dirOperand(name string) int {
	if name == "envdir" {
		return 1
	}
	return 0
}

func boxOptions() []string {
	return []string{"--chdir", "--hostname", "--uid", "--gid", "--unsetenv", "--lock-file", "--sync-fd", "--proc", "--dev", "--tmpfs", "--mqueue", "--dir", "--seccomp", "--exec-label", "--file-label", "--info-fd", "--cap-add", "--cap-drop", "--perms", "--size"}
}

func boxFlags() []string {
	return []string{"--unshare-all", "--share-net", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--quiet", "--noprofile", "--private"}
}

// scan is what options leave of the words after a program.
type scan struct {
	rest    []field
	others  [][]field // the same, if an option that we do not know has a value
	assigns []field
	seen    map[string]field // options and their values, as written
	loose   bool             // a word of them may be none, or several
}

// command takes the options and operands away.
func (o options) command(fields []field) scan {
	s := scan{seen: map[string]field{}}
	operands := o.operands
	i := 0
	for i < len(fields) {
		w := fields[i]
		if w.loose && w.Text == "" && operands == 0 {
			break
		}
		s.loose = s.loose || w.loose
		switch {
		case operands < o.operands: // its own words have begun: options have ended
			if operands == 0 {
				s.rest = fields[i:]
				return s
			}
			operands--
			i++
		case w.Known && w.Text == "--":
			i = min(i+1+operands, len(fields))
			s.rest = fields[i:]
			return s
		case o.numbers && len(w.Text) > 1 && w.Text[0] == '-' && number10(w.Text[1:]), w.Text == "-":
			i++
		case strings.HasPrefix(w.Text, "--"):
			i += o.longOption(&s, fields[i:])
		case strings.HasPrefix(w.Text, "-"):
			i += o.letters(&s, fields[i:])
		case o.assigns && isAssignment(w.Text):
			s.assigns = append(s.assigns, w)
			i++
		case operands > 0:
			operands--
			i++
		default:
			s.rest = fields[i:]
			return s
		}
		i = min(i, len(fields))
	}
	s.rest = fields[i:]
	return s
}

func (o options) longOption(s *scan, fields []field) int {
	name, value, attached := strings.Cut(fields[0].Text, "=")
	switch {
	case attached:
		s.seen[o.full(name)] = field{Word: Word{value, fields[0].Known}}
		return 1
	case slices.Contains(o.long, name):
		if len(fields) > 1 {
			s.seen[name] = fields[1]
			s.loose = s.loose || fields[1].loose
		}
		return 2
	case !slices.Contains(o.longFlags, name) && len(fields) > 2:
		s.others = append(s.others, fields[2:])
	}
	s.seen[name] = field{}
	if full := o.full(name); full != name && len(fields) > 1 {
		s.seen[full] = fields[1]
	}
	return 1
}

// full is the option that a name stands for which is cut short.
func (o options) full(name string) string {
	short := func(long string) bool { return len(name) > len("--") && strings.HasPrefix(long, name) }
	if slices.Contains(o.long, name) || slices.Contains(o.longFlags, name) {
		return name
	}
	if i := slices.IndexFunc(o.long, short); i >= 0 {
		return o.long[i]
	}
	return name
}

func (o options) letters(s *scan, fields []field) int {
	cluster := fields[0].Text[1:]
	for i := range len(cluster) {
		letter := "-" + cluster[i:i+1]
		switch {
		case strings.IndexByte(o.values, cluster[i]) >= 0:
			if i+1 < len(cluster) || !fields[0].Known {
				s.seen[letter] = field{Word: Word{cluster[i+1:], fields[0].Known}}
				return 1
			}
			if len(fields) > 1 {
				s.seen[letter] = fields[1]
				s.loose = s.loose || fields[1].loose
			}
			return 2
		case strings.IndexByte(o.flags, cluster[i]) < 0 && i == len(cluster)-1 && len(fields) > 2:
			s.others = append(s.others, fields[2:])
		}
		s.seen[letter] = field{}
	}
	return 1
}

// isAssignment is what env and sudo take for one: any name will do.
func isAssignment(text string) bool { return strings.Index(text, "=") > 0 }

// wrapper runs the rest of a wrapper's words.
func (f *finder) wrapper(c *call, name string, o options) {
	s := o.command(c.args())
	if name == "setarch" && len(s.rest) > 1 { // its first word may be an architecture
		s.others = append(s.others, o.command(s.rest[1:]).rest)
	}
	if len(s.rest) == 0 {
		f.alone(c, name)
		return
	}
	inner := *c
	dir := s.seen["--chdir"]
	if d, ok := s.seen["-D"]; ok && name == "sudo" {
		dir = d
	}
	switch {
	case name == "chroot" || name == "sudo" && has(s, "-i", "--login", "-R", "--chroot"):
		inner.dir = &Word{}
	case dir.Text != "":
		inner.dir = f.elsewhere(dir.Word)
	}
	if s.loose {
		f.unknown("%s: the words before its command are not known", name)
	}
	if name == "entr" && has(s, "-s") {
		f.option(&inner, "entr -s", s.rest[0])
	}
	f.withAssigns(s.assigns, func() {
		f.through(&inner, name, s.rest)
		for _, o := range s.others {
			f.through(&inner, name, o)
		}
	})
}

// alone is a wrapper without a command: some start a shell then.
func (f *finder) alone(c *call, name string) {
	if c.stdin.from != fromOutside && slices.Contains([]string{"sudo", "doas", "chroot", "unshare", "nsenter", "setarch", "linux32", "linux64", "fakeroot", "pkexec", "firejail", "systemd-run"}, name) {
		f.within(name, func() { f.feeds(c, "sh", nil) })
		return
	}
	f.emit(c)
}

func has(s scan, names ...string) bool {
	for _, n := range names {
		if _, ok := s.seen[n]; ok {
			return true
		}
	}
	return false
}

// elsewhere is a directory that a program goes to before it starts another.
func (f *finder) elsewhere(to Word) *Word {
	if len(f.env.dirs) != 1 {
		return &Word{}
	}
	there := chdir(f.env.dirs[0], to, true)
	return &there
}

// withAssigns does something with variables that a program sets for another.
func (f *finder) withAssigns(list []field, do func()) {
	if len(list) == 0 {
		do()
		return
	}
	before := f.env.here()
	for _, a := range list {
		name, value, _ := strings.Cut(a.Text, "=")
		v := Word{value, a.Known}
		f.fixed(name, v)
		f.env.set(name, binding{value: v, exported: true})
	}
	do()
	f.env.back(before)
}

// envProgram is env, which also splits one word into a whole command.
func (f *finder) envProgram(c *call) {
	o := options{values: "uCSP", flags: "i0v", long: []string{"--unset", "--chdir", "--split-string"}, longFlags: []string{"--ignore-environment", "--null", "--debug", "--block-signal", "--default-signal", "--ignore-signal", "--list-signal-handling"}, assigns: true}
	args := c.args()
	s := o.command(args)
	text, split := s.seen["-S"]
	if !split {
		text, split = s.seen["--split-string"]
	}
	switch {
	case split && (!text.Known || strings.ContainsAny(text.Text, `$\`)):
		f.unknown("env -S: text is not known")
		f.emit(c)
		return
	case split:
		fields, ok := f.splitString(text.Text)
		if !ok {
			f.unknown("env -S %q", text.Text)
		}
		again := *c
		again.fields = append(append(known("env"), fields...), s.rest...)
		f.within("", func() { f.envProgram(&again) })
		return
	}
	if d, ok := s.seen["-C"]; ok {
		s.seen["--chdir"] = d
	}
	if len(s.rest) == 0 {
		f.emit(c)
		return
	}
	inner := *c
	if d, ok := s.seen["--chdir"]; ok {
		inner.dir = f.elsewhere(d.Word)
	}
	if s.loose {
		f.unknown("env: the words before its command are not known")
	}
	f.withAssigns(s.assigns, func() {
		f.through(&inner, "env", s.rest)
		for _, o := range s.others {
			f.through(&inner, "env", o)
		}
	})
}

// splitString splits a text as env -S does: blanks and quotes, nothing else.
func (f *finder) splitString(text string) ([]field, bool) {
	var fields []field
	var cur strings.Builder
	open, quote := false, byte(0)
	for i := range len(text) {
		switch ch := text[i]; {
		case quote != 0 && ch == quote:
			quote = 0
		case quote != 0:
			cur.WriteByte(ch)
		case ch == '\'' || ch == '"':
			quote, open = ch, true
		case strings.IndexByte(" \t\n\r\v\f", ch) >= 0:
			if open {
				fields = append(fields, known(cur.String())...)
			}
			cur.Reset()
			open = false
		case ch == '#' && !open:
			return fields, true
		default:
			cur.WriteByte(ch)
			open = true
		}
	}
	if open {
		fields = append(fields, known(cur.String())...)
	}
	return fields, quote == 0
}
