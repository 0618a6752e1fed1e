package shell

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// others are programs that run what is in an option, or code of a language.
func (f *finder) others(name string, c *call) {
	if l, ok := languageOf(name); ok {
		f.code(c, l)
		return
	}
	switch name {
	case "awk", "gawk", "mawk", "nawk", "original-awk":
		f.awk(c)
	case "sed", "gsed":
		f.sed(c)
	case "make", "gmake", "bmake":
		f.make(c)
	case "fish", "pwsh", "powershell", "csh", "tcsh", "nu", "elvish", "xonsh", "rc", "es":
		f.otherShell(name, c)
	case "at", "batch":
		f.feeds(c, "sh", nil)
	case "crontab", "expect", "screen", "socat", "ed":
		f.strange(name, c)
	case "tmux":
		if args := c.args(); len(args) > 1 {
			f.unknown("tmux: its commands are not looked at")
		}
	case "vim", "vi", "nvim", "ex", "view", "emacs", "gdb", "sqlite3", "psql", "mysql", "dc", "m4", "gnuplot", "lftp", "ftp", "less", "more":
		f.escapes(name, c)
	default:
		f.textOptions(name, c)
	}
}

// language is an interpreter, and how it is given code in a word.
type language struct {
	name    string
	letters string   // in a cluster of options: python -Ic
	stops   string   // letters that take the rest of their word
	values  string   // letters that take the next word
	long    []string // whole options
	verbs   []string // whole first words: deno eval
}

func languageOf(name string) (language, bool) {
	base := strings.TrimRight(name, "0123456789.")
	switch base {
	case "python", "pypy", "ipython", "bpython", "jython":
		return language{name: "python", letters: "c", stops: "WXmQ", values: "WXm"}, true
	case "perl":
		return language{name: "perl", letters: "eE", stops: "iImMxFCDdV", values: ""}, true
	case "ruby", "jruby":
		return language{name: "ruby", letters: "e", stops: "iIrxFCETKW", values: "IrCE"}, true
	case "node", "nodejs", "bun", "tsx", "ts-node":
		return language{name: "node", letters: "ep", stops: "rC", values: "rC", long: []string{"--eval", "--print"}}, true
	case "deno":
		return language{name: "deno", verbs: []string{"eval", "repl"}}, true
	case "php":
		return language{name: "php", letters: "rRBE", stops: "dfcSTtz", values: "dfcSTtz"}, true
	case "lua", "luajit", "julia", "groovy", "elixir", "osascript", "Rscript", "R", "ghc", "guile", "racket", "sbcl", "clojure", "clj", "tclsh", "scala", "kotlin", "swift", "raku", "janet", "ocaml", "erl", "octave", "irb", "jshell", "bb":
		return language{name: base, letters: "eE", stops: "lfLI", values: "lLI", long: []string{"--eval", "-eval", "--execute", "-run", "--expr"}}, true
	}
	return language{}, false
}

// code is unknown: only a run of it would tell what it starts.
func (f *finder) code(c *call, l language) {
	args := c.args()
	unknown := func() { f.unknown("%s code", l.name) }
	if len(args) > 0 && slices.Contains(l.verbs, args[0].Text) {
		unknown()
		return
	}
	for i := 0; i < len(args); i++ {
		t := args[i].Text
		name, _, _ := strings.Cut(t, "=")
		switch {
		case args[i].code, args[i].loose && t == "":
			unknown() // a pipe, or what may be an option
			return
		case t == "-" || stdinFile(t):
			f.fed(c, l)
			return
		case !strings.HasPrefix(t, "-"):
			return // a file
		case slices.Contains(l.long, name):
			unknown()
			return
		case strings.HasPrefix(t, "--"):
		default:
			found, skip := l.cluster(t[1:])
			if found {
				unknown()
				return
			}
			if skip {
				i++
			}
			if strings.HasPrefix(t, "-m") && l.name == "python" {
				return
			}
		}
	}
	f.fed(c, l)
}

// cluster looks for the letter of code among the letters of one option.
func (l language) cluster(letters string) (found, skip bool) {
	for i := range len(letters) {
		switch {
		case strings.IndexByte(l.letters, letters[i]) >= 0:
			return true, false
		case strings.IndexByte(l.stops, letters[i]) >= 0:
			return false, i == len(letters)-1 && strings.IndexByte(l.values, letters[i]) >= 0
		}
	}
	return false, false
}

// fed is an interpreter that reads its code.
func (f *finder) fed(c *call, l language) {
	if c.stdin.from != fromOutside {
		f.unknown("%s code", l.name)
	}
}

func (f *finder) otherShell(name string, c *call) {
	if c.stdin.from != fromOutside || slices.ContainsFunc(c.args(), func(a field) bool { return strings.HasPrefix(a.Text, "-") || !a.Known }) {
		f.unknown("%s code", name)
	}
}

// strange are programs that run what they are told in a way of their own.
func (f *finder) strange(name string, c *call) {
	for i, a := range c.args() {
		t := strings.ToLower(a.Text)
		switch {
		case name == "socat" && (strings.Contains(t, "exec:") || strings.Contains(t, "system:") || !a.Known),
			name == "expect" && (strings.HasPrefix(t, "-c") || t == "-"),
			name == "crontab" && i == 0 && !slices.Contains([]string{"-l", "-r"}, t),
			name == "screen" && !slices.Contains([]string{"-ls", "-list", "-v"}, t):
			f.unknown("%s code", name)
			return
		}
	}
	if name != "socat" && name != "screen" && c.stdin.from != fromOutside {
		f.unknown("%s code", name)
	}
}

// escapes are programs with a way out to a shell.
func (f *finder) escapes(name string, c *call) {
	suspect := []string{"!", "system", "shell", "python", "call-process", "compile", ".shell", "pipe ", "syscmd"}
	script := strings.ToLower(joined(c.args()))
	if c.stdin.from == fromPipe && !c.stdin.text.Known && name != "less" && name != "more" {
		f.unknown("%s code", name)
		return
	}
	if c.stdin.from == fromDocument || c.stdin.text.Known {
		script += strings.ToLower(c.stdin.text.Text)
	}
	for _, s := range suspect {
		if strings.Contains(script, s) {
			f.unknown("%s code", name)
			return
		}
	}
	if !allKnown(c.args()) && (name == "vim" || name == "nvim" || name == "vi" || name == "ex" || name == "view" || name == "emacs") {
		f.unknown("%s code", name)
	}
}

// textOptions are options whose value is a line of shell.
func (f *finder) textOptions(name string, c *call) {
	var names []string
	switch name {
	case "script":
		names = []string{"-c", "--command", "-qc", "-qec", "-ec", "-qfc"}
	case "tar", "gtar", "bsdtar":
		f.tar(c)
		return
	case "rsync":
		names = []string{"-e", "--rsh", "-ae", "-ave", "-avze", "-aze"}
	case "split":
		names = []string{"--filter"}
	case "sort":
		names = []string{"--compress-program"}
	case "man":
		names = []string{"-P", "--pager", "-H"}
	case "nc", "ncat", "netcat":
		names = []string{"-e", "-c", "--exec", "--sh-exec", "--lua-exec"}
	case "go":
		names = []string{"-exec", "-toolexec", "-vettool"}
	case "nix-shell":
		names = []string{"--run", "--command"}
	case "nodemon":
		names = []string{"-x", "--exec"}
	case "cargo-watch", "cargo":
		names = []string{"-s", "--shell"}
	case "vagrant":
		names = []string{"-c", "--command"}
	case "hyperfine", "concurrently":
		f.eachText(name, c)
		return
	case "watchexec":
		f.afterDashes(c, name)
		return
	default:
		return
	}
	if name == "script" && c.stdin.from != fromOutside {
		f.unknown("script code")
	}
	f.textOption(c, c.args(), name+" "+names[0], names...)
}

// eachText is a program of which each word is a line of shell.
func (f *finder) eachText(name string, c *call) {
	for _, a := range c.args() {
		if !strings.HasPrefix(a.Text, "-") {
			f.option(c, name, a)
		}
	}
}

func (f *finder) tar(c *call) {
	f.textOption(c, c.args(), "tar --to-command", "--to-command", "--use-compress-program", "--rsh-command", "--info-script", "--new-volume-script")
	args := c.args()
	for i, a := range args {
		if _, text, ok := strings.Cut(a.Text, "exec="); ok {
			f.option(c, "tar --checkpoint-action", field{Word: Word{text, a.Known}})
		}
		if !strings.HasPrefix(a.Text, "--") && strings.HasPrefix(a.Text, "-") && strings.HasSuffix(a.Text, "I") && i+1 < len(args) {
			f.option(c, "tar -I", args[i+1])
		}
	}
}

func (f *finder) make(c *call) {
	args := c.args()
	for i, a := range args {
		t := a.Text
		switch {
		case strings.HasPrefix(t, "SHELL="), strings.HasPrefix(t, ".SHELLFLAGS="), strings.HasPrefix(t, "--eval"), strings.HasPrefix(t, "-E"):
			f.unknown("make code")
		case (t == "-f" || t == "--file" || t == "--makefile") && i+1 < len(args) && (args[i+1].Text == "-" || stdinFile(args[i+1].Text) || args[i+1].code),
			t == "-f-", t == "--file=-", t == "--makefile=-", strings.HasPrefix(t, "-f/dev/"), strings.HasPrefix(t, "--file=/dev/"), strings.HasPrefix(t, "--makefile=/dev/"):
			f.unknown("make code")
		case strings.Contains(t, "=") && strings.Contains(t, "$("):
			f.unknown("make code") // $(shell …)
		}
	}
}

// awkNoise is what may hold a bar or a word without meaning it: strings,
// patterns between slashes, comments.
var awkNoise = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`"(?:[^"\\\n]|\\.)*"|#[^\n]*|(^|[(,{;!~&|\n=])(\s*)/(?:[^/\\\n\[]|\\.|\[[^\]\n]*\])*/`)
})

var awkStarts = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\bsystem\b|@|\|`) })

// awk runs commands only with system(), a pipe or an extension.
func (f *finder) awk(c *call) {
	args := c.args()
	check := func(w field) {
		text := awkNoise().ReplaceAllString(w.Text, "$1")
		if !w.Known || awkStarts().MatchString(strings.ReplaceAll(text, "||", " ")) {
			f.unknown("awk code")
		}
	}
	file := false
	for i := 0; i < len(args); i++ {
		t := args[i].Text
		switch {
		case args[i].loose && t == "":
			f.unknown("awk code")
			return
		case t == "--" && i+1 < len(args):
			if !file {
				check(args[i+1])
			}
			return
		case (t == "-e" || t == "--source") && i+1 < len(args):
			check(args[i+1])
			i, file = i+1, true
		case strings.HasPrefix(t, "--source="):
			check(args[i])
			file = true
		case t == "-l" || strings.HasPrefix(t, "--load"):
			f.unknown("awk code")
			return
		case (t == "-f" || t == "--file" || t == "-E" || t == "--exec") && i+1 < len(args):
			i, file = i+1, true
			if args[i].code || args[i].Text == "-" || openFile(args[i].Text) || args[i].Text == "/dev/stdin" {
				f.unknown("awk code")
			}
		case strings.HasPrefix(t, "-f") || strings.HasPrefix(t, "--file="):
			file = true
			if strings.Contains(t, "/dev/") || strings.HasSuffix(t, "-") {
				f.unknown("awk code")
			}
		case t == "-F" || t == "-v" || t == "-i" || t == "--assign" || t == "--field-separator" || t == "--include":
			i++
		case strings.HasPrefix(t, "-") && t != "-":
		default:
			if !file {
				check(args[i])
			}
			return
		}
	}
}
