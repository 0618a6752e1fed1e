package shell

import (
	"maps"
	"slices"
	"strings"
)

// dispatch takes a command for what its name says that it is.
func (f *finder) dispatch(c *call) {
	name := c.name()
	if !c.external && !strings.Contains(c.fields[0].Text, "/") && f.builtin(name, c) {
		return
	}
	if o, ok := wrapperOptions(name); ok {
		f.wrapper(c, name, o)
		return
	}
	switch name {
	case "env", "genv":
		f.envProgram(c)
	case "busybox", "toybox":
		f.applet(c)
	case "su", "runuser":
		f.switchUser(c)
	case "xargs", "gxargs":
		f.xargs(c)
	case "parallel":
		f.parallel(c)
	case "watch":
		f.watch(c)
	case "flock":
		f.flock(c)
	case "echo", "printf", "cat", "tee":
		f.emit(c)
		f.writes(name, c)
	default:
		switch {
		case shells(name) != nil:
			f.shell(c, name)
		case name == "ld.so" || strings.HasPrefix(name, "ld-linux") || strings.HasPrefix(name, "ld-musl"):
			f.wrapper(c, name, options{long: []string{"--library-path", "--preload", "--audit", "--argv0", "--inhibit-rpath"}})
		default:
			f.emit(c)
			f.output = Word{}
			f.starter(name, c)
			if printsPlace(name, c) {
				f.output = Word{Text: "."}
			}
		}
	}
}

// printsPlace says that a command prints the directory that it is in, or, in
// all likelihood, the one that its line began in.
func printsPlace(name string, c *call) bool {
	args := joined(c.args())
	return name == "pwd" && strings.Trim(args, "-PL") == "" || name == "git" && args == "rev-parse --show-toplevel"
}

// starter is a command that is one itself, and may start others.
func (f *finder) starter(name string, c *call) {
	switch name {
	case "git":
		f.git(c)
	case "find", "gfind":
		f.find(c)
	case "fd", "fdfind":
		f.fd(c)
	case "ssh", "autossh", "scp", "sftp":
		f.sshOptions(c)
		if name == "ssh" || name == "autossh" {
			f.ssh(c)
		}
	case "docker", "podman", "nerdctl", "docker-compose", "podman-compose":
		f.container(name, c)
	case "kubectl", "oc":
		f.afterDashes(c, name)
	case "npm", "pnpm", "yarn", "npx", "pnpx", "bunx", "bun", "uvx", "uv", "pipx", "poetry", "pipenv", "pdm", "rye", "hatch", "bundle", "conda", "mamba", "direnv", "nix", "corepack", "rbenv", "pyenv", "asdf", "mise", "op", "doppler", "aws-vault", "cross-env", "dotenvx", "devbox", "pixi", "infisical", "ip", "cmake", "perf":
		f.manager(name, c)
	default:
		f.others(name, c)
	}
}

// applet is a program within busybox.
func (f *finder) applet(c *call) {
	args := c.args()
	if len(args) == 0 || strings.HasPrefix(args[0].Text, "-") {
		f.emit(c)
		return
	}
	f.through(c, c.name(), args)
}

// writes keeps what a command puts on its stdout, for who reads it.
func (f *finder) writes(name string, c *call) {
	f.output = Word{}
	args := c.args()
	var text string
	ok := allKnown(args)
	switch {
	case name == "cat" && (len(args) == 0 || len(args) == 1 && args[0].Text == "-"), name == "tee" && ok:
		f.output = c.stdin.text
		return
	case !ok || name == "cat" || name == "tee":
		return
	case name == "echo":
		text, ok = echoed(words(args))
	case len(args) > 0 && !strings.HasPrefix(args[0].Text, "-"):
		text, ok = printed(args[0].Text, words(args[1:]))
	case len(args) > 1 && args[0].Text == "--":
		text, ok = printed(args[1].Text, words(args[2:]))
	default:
		return
	}
	if ok && f.grow(len(text)) {
		f.output = Word{text, true}
	}
}

// shell is sh, bash and their kin, with a text, a file or what they read.
func (f *finder) shell(c *call, name string) {
	args, text, stdin := c.args(), false, false
	for len(args) > 0 {
		a := args[0]
		if !a.Known || len(a.Text) < 2 || a.Text[0] != '-' && a.Text[0] != '+' {
			break
		}
		args = args[1:]
		if a.Text == "--" {
			break
		}
		if strings.HasPrefix(a.Text, "--") {
			if (a.Text == "--rcfile" || a.Text == "--init-file") && len(args) > 0 {
				f.unknown("file of %s: %q", a.Text, args[0].Text)
				args = args[1:]
			}
			continue
		}
		text = text || a.Text[0] == '-' && strings.Contains(a.Text, "c")
		stdin = stdin || a.Text[0] == '-' && strings.Contains(a.Text, "s")
		for range strings.Count(strings.ToLower(a.Text), "o") {
			args = args[min(1, len(args)):]
		}
	}
	if len(args) > 0 && args[0].Text == "-" && args[0].Known {
		args = args[1:]
	}
	switch {
	case text && len(args) > 0 && args[0].Known:
		f.redirected(c)
		f.shellText(args[0].Text, "sh -c", name, c, args[min(2, len(args)):])
	case text && len(args) > 0:
		f.emit(c)
		f.unknown("sh -c: text is not known")
	case text:
		f.emit(c)
	case stdin || len(args) == 0:
		f.feeds(c, name, args)
	default:
		f.scriptFile(c, name, args)
	}
}

// redirected lists the redirections of a command that is not listed itself.
func (f *finder) redirected(c *call) {
	if len(c.writes)+len(c.reads) > 0 {
		f.emit(&call{writes: c.writes, reads: c.reads, via: f.via, dir: c.dir})
	}
}

// scriptFile is a shell that runs a file.
func (f *finder) scriptFile(c *call, name string, args []field) {
	switch {
	case args[0].code:
		f.emit(c)
		f.unknown("pipe to sh")
	case !args[0].Known:
		f.emit(c)
		f.unknown("file of %s is not known", name)
	case stdinFile(args[0].Text):
		f.feeds(c, name, args[1:])
	case openFile(args[0].Text):
		f.emit(c)
		f.unknown("pipe to sh")
	default:
		f.emit(c)
	}
}

// openFile is a file by the number that the shell has it open with.
func openFile(name string) bool {
	return strings.HasPrefix(name, "/dev/fd/") || strings.HasPrefix(name, "/proc/") && strings.Contains(name, "/fd/")
}

func stdinFile(name string) bool {
	return name == "/dev/stdin" || name == "/dev/fd/0" || name == "/proc/self/fd/0"
}

// feeds is a shell that runs what it reads.
func (f *finder) feeds(c *call, name string, params []field) {
	in := c.stdin
	switch {
	case in.from == fromOutside:
		f.emit(c)
	case in.from == fromFile:
		f.emit(c)
		f.unknown("file to sh")
	case !in.text.Known && in.from == fromDocument:
		f.emit(c)
		f.unknown("here-document is not known")
	case !in.text.Known:
		f.emit(c)
		f.unknown("pipe to sh")
	case in.from == fromDocument:
		f.redirected(c)
		f.shellText(in.text.Text, "here-document", name, &call{dir: c.dir, stdin: in}, params)
	default:
		f.redirected(c)
		f.shellText(in.text.Text, "pipe to sh", name, &call{dir: c.dir, stdin: in}, params)
	}
}

// switchUser is su and runuser: -c has a text, runuser -u a command.
func (f *finder) switchUser(c *call) {
	o := options{values: "csgGuwT", flags: "lmpfPh", long: []string{"--command", "--shell", "--group", "--supp-group", "--user", "--whitelist-environment", "--session-command"}, longFlags: []string{"--login", "--preserve-environment", "--fast", "--pty"}}
	var words []field
	s := o.command(c.args())
	for rest := s.rest; len(rest) > 0; { // options may stand after the user
		words = append(words, rest[0])
		more := o.command(rest[1:])
		maps.Copy(s.seen, more.seen)
		rest = more.rest
		if _, user := s.seen["-u"]; user {
			f.through(c, c.name(), s.rest)
			return
		}
	}
	inner := *c
	inner.dir = &Word{}
	for _, name := range []string{"-c", "--command", "--session-command"} {
		if text, ok := s.seen[name]; ok {
			f.redirected(c)
			f.option(&inner, c.name()+" -c", text)
			return
		}
	}
	if c.stdin.from == fromOutside || len(words) > 1 {
		f.emit(c)
		return
	}
	f.feeds(&inner, "sh", nil)
}

// find runs what stands between -exec and its end.
func (f *finder) find(c *call) {
	args := c.args()
	for i := 0; i < len(args); i++ {
		name := args[i].Text
		if !slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir"}, name) {
			continue
		}
		end := i + 1
		for end < len(args) && args[end].Text != ";" && (args[end].Text != "+" || args[end-1].Text != "{}") {
			end++
		}
		var dir *Word
		if strings.HasSuffix(name, "dir") {
			dir = &Word{}
		}
		f.withHole("{}", func() { f.starts(c, "find "+name, args[i+1:end], dir) })
		i = end
	}
}

// withHole says that a program replaces a text in the words of another.
func (f *finder) withHole(hole string, do func()) {
	if hole == "" {
		do()
		return
	}
	old := f.holes
	f.holes = append(slices.Clip(f.holes), hole)
	do()
	f.holes = old
}

// more is what a program adds to a command: no word, or several.
func more() field { return field{loose: true} }

func (f *finder) fd(c *call) {
	args := c.args()
	for i, a := range args {
		name, attached, ok := strings.Cut(a.Text, "=")
		switch {
		case ok && (name == "--exec" || name == "--exec-batch"):
			f.withHole("{}", func() { f.starts(c, "fd "+name, append(known(attached), more()), nil) })
		case len(a.Text) > 2 && (strings.HasPrefix(a.Text, "-x") || strings.HasPrefix(a.Text, "-X")):
			f.withHole("{}", func() {
				f.starts(c, "fd "+a.Text[:2], append(append(known(a.Text[2:]), args[i+1:]...), more()), nil)
			})
			return
		case slices.Contains([]string{"-x", "-X", "--exec", "--exec-batch"}, a.Text):
			f.withHole("{}", func() { f.starts(c, "fd "+a.Text, append(slices.Clone(args[i+1:]), more()), nil) })
			return
		}
	}
}

func (f *finder) xargs(c *call) {
	o := options{values: "adEILnPsRSJ", flags: "0oprtxeil", long: []string{"--arg-file", "--delimiter", "--max-args", "--max-procs", "--max-chars", "--process-slot-var"}, longFlags: []string{"--null", "--no-run-if-empty", "--interactive", "--verbose", "--exit", "--open-tty", "--replace", "--eof", "--max-lines", "--show-limits"}}
	s := o.command(c.args())
	hole := s.seen["-I"].Text + s.seen["-J"].Text
	if has(s, "--replace", "-i") && hole == "" {
		hole = s.seen["--replace"].Text
		if hole == "" {
			hole = "{}"
		}
	}
	if s.loose {
		f.unknown("xargs: the words before its command are not known")
	}
	if len(s.rest) == 0 {
		f.emit(c)
		f.output = Word{}
		return
	}
	f.redirected(c)
	silent := *c
	if !has(s, "-a", "--arg-file") {
		silent.stdin = input{} // xargs reads it itself
	}
	for _, rest := range append(s.others, s.rest) {
		fields := slices.Clone(rest)
		if hole == "" {
			fields = append(fields, more())
		}
		f.withHole(hole, func() { f.starts(&silent, "xargs", fields, nil) })
	}
}

// parallel makes lines of shell of its words and of what it reads.
func (f *finder) parallel(c *call) {
	o := options{values: "jnNLSadIEPsCiMl", flags: "0kmXqtuvx", long: []string{"--jobs", "--max-args", "--max-replace-args", "--arg-file", "--colsep", "--delimiter", "--joblog", "--results", "--retries", "--delay", "--timeout", "--halt", "--sshlogin", "--tagstring", "--workdir", "--wd", "--tmpdir", "--memfree", "--load", "--max-procs", "--block", "--recstart", "--recend"}, longFlags: []string{"--null", "--keep-order", "--bar", "--progress", "--eta", "--dry-run", "--tag", "--ungroup", "--group", "--line-buffer", "--lb", "--will-cite", "--pipe", "--no-notice", "--verbose", "--link", "--xapply", "--no-run-if-empty", "--quote", "--resume", "--shuf", "--citation"}}
	s := o.command(c.args())
	end := slices.IndexFunc(s.rest, func(w field) bool { return strings.HasPrefix(w.Text, ":::") })
	template, inputs := s.rest, []field(nil)
	if end >= 0 {
		template, inputs = s.rest[:end], s.rest[end+1:]
	}
	if len(template) > 0 {
		f.redirected(c)
		if !slices.ContainsFunc(template, func(w field) bool { return strings.Contains(w.Text, "{") }) {
			f.starts(c, "parallel", append(slices.Clone(template), more()), nil) // what it reads goes behind
		}
		f.withHole("{}", func() { f.withHole("{", func() { f.lines(c, "parallel", template) }) })
		return
	}
	f.emit(c)
	if end < 0 || strings.HasPrefix(s.rest[end].Text, "::::") {
		f.unknown("parallel: its commands are not known")
	}
	for _, in := range inputs {
		f.option(c, "parallel", in)
	}
}

// watch gives its words to sh -c, or runs them with -x.
func (f *finder) watch(c *call) {
	o := options{values: "nq", flags: "bcdegrtpxwCfh", long: []string{"--interval", "--equexit"}, longFlags: []string{"--beep", "--color", "--no-color", "--errexit", "--chgexit", "--no-rerun", "--precise", "--no-title", "--no-wrap", "--differences", "--exec"}}
	s := o.command(c.args())
	switch {
	case len(s.rest) == 0:
		f.emit(c)
	case has(s, "-x", "--exec"):
		f.redirected(c)
		f.starts(c, "watch", s.rest, nil)
	default:
		f.redirected(c)
		f.lines(c, "watch", s.rest)
	}
}

// flock runs a command, or a line after -c, while it holds a file.
func (f *finder) flock(c *call) {
	o := options{values: "wE", flags: "sxeunoFvh", long: []string{"--timeout", "--wait", "--conflict-exit-code"}, longFlags: []string{"--shared", "--exclusive", "--unlock", "--nonblock", "--nb", "--close", "--no-fork", "--verbose"}, operands: 1}
	rest := o.command(c.args()).rest
	if len(rest) == 0 {
		f.emit(c)
		return
	}
	f.redirected(c)
	switch {
	case len(rest) > 1 && (rest[0].Text == "-c" || rest[0].Text == "--command"):
		f.option(c, "flock -c", rest[1])
	default:
		f.starts(c, "flock", rest, nil)
	}
}

// lines is a program that joins words to a line of shell.
func (f *finder) lines(c *call, via string, list []field) {
	if !allKnown(list) {
		f.unknown("%s: text is not known", via)
		f.starts(c, via, list, nil)
		return
	}
	f.text(joined(list), via, &call{dir: c.dir, stdin: c.stdin})
	f.output = Word{}
}

// ssh runs a line on another machine, and some options run one on this.
func (f *finder) ssh(c *call) {
	o := options{values: "BbcDEeFIiJLlmOopQRSWw", flags: "46AaCfGgKkMNnqsTtVvXxYy"}
	s := o.command(c.args())
	if len(s.rest) == 0 {
		return
	}
	away := *c
	away.dir = &Word{}
	// Options may stand after the host, too.
	switch rest := o.command(s.rest[1:]).rest; {
	case len(rest) > 0:
		f.lines(&away, "ssh", rest)
	case c.stdin.from != fromOutside && !has(s, "-N", "-W"):
		away.fields, away.reads, away.writes = known("sh"), nil, nil
		f.within("ssh", func() {
			away.via = f.via
			f.feeds(&away, "sh", nil)
		})
	}
}

// sshOptions are those of ssh, scp and sftp that run a line on this machine.
func (f *finder) sshOptions(c *call) {
	args := c.args()
	for i, a := range args {
		if a.Text == "-F" && i+1 < len(args) && (args[i+1].code || openFile(args[i+1].Text) || args[i+1].Text == "/dev/stdin") {
			f.unknown("ssh: its configuration is not known")
		}
		if a.Text == "-S" && c.name() != "ssh" && i+1 < len(args) {
			f.option(c, c.name()+" -S", args[i+1])
		}
		value := strings.TrimPrefix(a.Text, "-o")
		if a.Text == "-o" && i+1 < len(args) {
			value = args[i+1].Text
		}
		key, command, _ := strings.Cut(strings.Replace(value, "=", " ", 1), " ")
		switch strings.ToLower(key) {
		case "proxycommand", "localcommand", "knownhostscommand", "remotecommand":
			f.text(strings.TrimSpace(command), "ssh -o "+key, c)
		}
	}
}

// container is docker run, docker exec and their like.
func (f *finder) container(name string, c *call) {
	o := options{values: "HlcfpD", long: []string{"--host", "--context", "--config", "--log-level", "--file", "--project-name", "--profile", "--env-file", "--project-directory", "--root", "--url", "--connection"}, longFlags: []string{"--debug", "--tls", "--tlsverify", "--remote"}}
	rest := o.command(c.args()).rest
	for len(rest) > 0 && slices.Contains([]string{"container", "compose"}, rest[0].Text) {
		rest = o.command(rest[1:]).rest
	}
	if len(rest) == 0 || !slices.Contains([]string{"run", "exec", "create"}, rest[0].Text) {
		return
	}
	via := name + " " + rest[0].Text
	image, entry := imageOf(rest[1:])
	if len(image) == 0 {
		return
	}
	command := image[1:]
	if entry != nil {
		command = append([]field{*entry}, command...)
	}
	if len(command) > 0 {
		f.starts(c, via, command, &Word{})
	}
}

// imageOf skips the options of run and exec: all have a value, but for these.
func imageOf(args []field) (image []field, entry *field) {
	alone := []string{"--rm", "--init", "--privileged", "--read-only", "--detach", "--interactive", "--tty", "--no-healthcheck", "--publish-all", "--oom-kill-disable", "--sig-proxy", "--disable-content-trust", "--quiet", "--no-deps", "--no-TTY", "--service-ports", "--use-aliases", "--build", "--remove-orphans", "--replace", "--rmi", "--systemd", "--tls-verify", "--latest"}
	for i := 0; i < len(args); i++ {
		t := args[i].Text
		name, value, attached := strings.Cut(t, "=")
		switch {
		case t == "--":
			return args[i+1:], entry
		case !strings.HasPrefix(t, "-"):
			return args[i:], entry
		case attached && name == "--entrypoint":
			entry = &field{Word: Word{value, args[i].Known}}
		case attached || slices.Contains(alone, t):
		case strings.HasPrefix(t, "--"):
			i++
			if t == "--entrypoint" && i < len(args) {
				entry = &args[i]
			}
		case strings.Trim(t[1:], "ditPqTl") == "" || len(t) > 2 && strings.IndexByte("ditPqTl", t[1]) < 0: // -it, -v/a:/b
		default:
			i++
		}
	}
	return nil, entry
}

// afterDashes is a program that runs what stands after --.
func (f *finder) afterDashes(c *call, name string) {
	args := c.args()
	if i := slices.IndexFunc(args, func(w field) bool { return w.Text == "--" }); i >= 0 && i+1 < len(args) {
		f.starts(c, name, args[i+1:], &Word{})
	}
}
