package shell

import (
	"slices"
	"strconv"
	"strings"
)

// builtin does what a command of the shell itself does. It says false for what
// is none, and for what has no effect that matters here.
func (f *finder) builtin(name string, c *call) bool {
	switch name {
	case "command", "builtin", "exec", "noglob", "nocorrect":
		f.precommand(name, c)
	case "eval":
		f.eval(c)
	case ".", "source":
		f.source(c)
	case "cd", "chdir", "pushd", "popd":
		f.emit(c)
		f.cd(name, c)
	case "exit", "logout":
		f.emit(c)
		f.env.dirs, f.env.failed = nil, nil
	case "return":
		f.emit(c)
		if e := f.env; e.calls > 0 {
			e.returned = anyDir(e.returned, e.dirs)
			e.dirs, e.failed = nil, nil
		}
	case "trap":
		f.emit(c)
		f.trap(c)
	default:
		return f.state(name, c)
	}
	return true
}

// state are the builtins that change variables, functions and options.
func (f *finder) state(name string, c *call) bool {
	switch name {
	case "alias":
		f.aliases(c)
	case "set":
		f.set(c)
	case "shift":
		f.shift(c)
	case "unset":
		f.unset(c)
	case "read", "mapfile", "readarray", "getopts", "wait":
		f.reads(c)
		f.callbacks(c)
	case "complete", "compgen", "bind", "enable", "hash":
		f.callbacks(c)
	case "export", "readonly", "declare", "typeset", "local": // where the grammar has no words for them
		for _, a := range c.args() {
			if !a.Known {
				f.unknown("%s: a word is not known", name)
			} else if !strings.HasPrefix(a.Text, "-") {
				f.word(a.Text, name == "export")
			}
		}
	case "let", "test", "[":
		f.arithmetic = f.arithmetic || name == "let"
		for _, a := range c.args() {
			f.arithmetic = f.arithmetic || a.Text == "-v"
			f.subscript = f.subscript || subscript(a.Text)
		}
		return false
	case "printf":
		if args := c.args(); len(args) > 1 && args[0].Text == "-v" {
			f.subscript = f.subscript || subscript(args[1].Text)
			f.arithmetic = f.arithmetic || f.subscript
			f.env.forget(args[1].Text)
		}
		return false
	default:
		return false
	}
	f.emit(c)
	return true
}

// precommand is command, exec and the like: what follows runs.
func (f *finder) precommand(name string, c *call) {
	args := c.args()
	for len(args) > 0 && args[0].Known && strings.HasPrefix(args[0].Text, "-") {
		switch {
		case args[0].Text == "--":
			args = args[1:]
		case name == "exec" && strings.HasSuffix(args[0].Text, "a") && len(args) > 1:
			args = args[2:]
			continue
		case name == "command" && strings.ContainsAny(args[0].Text, "vV"):
			f.emit(c) // it tells where the command is
			return
		default:
			args = args[1:]
			continue
		}
		break
	}
	if len(args) == 0 {
		f.emit(c)
		return
	}
	inner := *c
	inner.fields, inner.noFunc, inner.external = args, true, name == "exec"
	f.within(name, func() {
		inner.via = f.via
		f.run(&inner)
	})
}

func allKnown(fields []field) bool {
	for _, fd := range fields {
		if !fd.Known {
			return false
		}
	}
	return true
}

func joined(fields []field) string {
	texts := make([]string, len(fields))
	for i, fd := range fields {
		texts[i] = fd.Text
	}
	return strings.Join(texts, " ")
}

// eval reads its words as a line of this very shell.
func (f *finder) eval(c *call) {
	args := c.args()
	if len(args) > 0 && args[0].Text == "--" {
		args = args[1:]
	}
	if !allKnown(args) {
		f.unknown("eval: text is not known")
		f.emit(c)
		f.env.forgetAll()
		return
	}
	old := f.stdin
	f.stdin = c.stdin
	if len(c.writes)+len(c.reads) > 0 {
		f.emit(&call{writes: c.writes, reads: c.reads, via: f.via})
	}
	f.within("eval", func() { f.line(joined(args)) })
	f.stdin = old
	f.output = Word{}
}

// source reads a file, which is not seen here.
func (f *finder) source(c *call) {
	f.emit(c)
	args := c.args()
	if len(args) == 0 {
		return
	}
	switch {
	case stdinFile(args[0].Text) && args[0].Known && c.stdin.text.Known:
		f.within("here-document", func() { f.line(c.stdin.text.Text) })
		return
	case args[0].code, stdinFile(args[0].Text), openFile(args[0].Text):
		f.unknown("pipe to sh")
	case !args[0].Known:
		f.unknown("file of %s is not known", c.name())
	default:
		f.unknown("file %q", args[0].Text)
	}
	f.env.forgetAll()
}

// cd goes to the directory of cd and pushd.
func (f *finder) cd(name string, c *call) {
	args, physical := c.args(), false
	for len(args) > 0 && args[0].Known && len(args[0].Text) > 1 && args[0].Text[0] == '-' && !number10(args[0].Text[1:]) {
		option := args[0].Text
		args = args[1:]
		if option == "--" {
			break
		}
		physical = physical || strings.Contains(option, "P")
	}
	_, cdpath := f.env.names["CDPATH"]
	switch {
	case name == "popd", len(args) > 1, cdpath, name == "pushd" && len(args) == 0:
		f.env.cd(Word{}, false)
	case len(args) == 0:
		f.env.cd(Word{Text: "~"}, false)
	case args[0].Known && (args[0].Text == "-" || strings.HasPrefix(args[0].Text, "+") && name == "pushd"):
		f.env.cd(Word{}, false)
	case args[0].Known && args[0].Text == "":
		f.env.failed = f.env.dirs
	default:
		f.env.cd(args[0].Word, physical)
	}
}

func number10(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// trap walks the command of a trap, which runs later: of the state that it
// will find nothing is known.
func (f *finder) trap(c *call) {
	args := c.args()
	for len(args) > 0 && args[0].Known && strings.HasPrefix(args[0].Text, "-") {
		if args[0].Text == "-" || args[0].Text != "--" {
			return // reset, print, list
		}
		args = args[1:]
	}
	switch {
	case len(args) == 0:
	case !args[0].Known:
		f.unknown("trap: text is not known")
	case len(args) > 1:
		f.within("trap", func() {
			f.apart(func() {
				f.env.forgetAll()
				f.line(args[0].Text)
			})
		})
	}
}

func (f *finder) aliases(c *call) {
	for _, a := range c.args() {
		name, text, ok := strings.Cut(a.Text, "=")
		switch {
		case !ok && !a.Known:
			f.unknown("alias: a word is not known")
		case a.Text == "-g" || a.Text == "-s": // of zsh: in any place of a line
			f.unknown("alias %s", a.Text)
		}
		if !ok {
			continue
		}
		b := f.env.names[name+"="]
		b.aliases = either(b.aliases, []Word{{text, a.Known}})
		f.env.set(name+"=", b)
	}
}

func (f *finder) set(c *call) {
	args := c.args()
	for i, a := range args {
		switch {
		case a.Known && (a.Text == "--" || a.Text == "-"):
			f.params(args[i+1:])
			return
		case a.Known && a.Text == "errexit" && i > 0:
			f.env.errexit = strings.HasPrefix(args[i-1].Text, "-")
		case a.Known && strings.HasPrefix(a.Text, "-"):
			f.env.errexit = f.env.errexit || strings.Contains(a.Text, "e")
		case a.Known && strings.HasPrefix(a.Text, "+"):
			f.env.errexit = f.env.errexit && !strings.Contains(a.Text, "e")
		case i > 0 && strings.HasSuffix(args[i-1].Text, "o"): // the name of an option
		default:
			f.params(args[i:])
			return
		}
	}
}

func (f *finder) params(args []field) {
	f.env.setArgs(words(args), !slices.ContainsFunc(args, func(a field) bool { return a.loose }))
}

func (f *finder) shift(c *call) {
	n := 1
	if args := c.args(); len(args) > 0 {
		var err error
		if n, err = strconv.Atoi(args[0].Text); err != nil || !args[0].Known || n < 0 {
			f.env.setArgs(nil, false)
			return
		}
	}
	if params, ok := f.env.args(); n <= len(params) {
		f.env.setArgs(params[n:], ok)
	}
}

func (f *finder) unset(c *call) {
	functions := false
	for _, a := range c.args() {
		switch {
		case !a.Known:
			f.env.forgetAll()
		case strings.HasPrefix(a.Text, "-"):
			functions = strings.Contains(a.Text, "f")
		case functions:
			f.env.set(a.Text+"()", binding{})
		default:
			f.subscript = f.subscript || subscript(a.Text)
			f.arithmetic = f.arithmetic || subscript(a.Text)
			f.env.assign(a.Text, Word{"", true})
		}
	}
}

// reads are the builtins that fill variables.
func (f *finder) reads(c *call) {
	for _, a := range c.args() {
		if !a.Known {
			f.env.forgetAll()
			continue
		}
		name, _, _ := strings.Cut(a.Text, "[")
		f.env.forget(name)
		if subscript(a.Text) {
			f.arithmetic, f.subscript = true, true
		}
	}
}

// callbacks are options of builtins whose value the shell will run.
func (f *finder) callbacks(c *call) {
	args := c.args()
	for i, a := range args {
		last := i == len(args)-1
		switch {
		case c.name() == "hash":
			if strings.HasPrefix(a.Text, "-") && strings.Contains(a.Text, "p") {
				f.unknown("hash -p") // another program by any name
			}
		case c.name() == "enable" && strings.HasPrefix(a.Text, "-f"):
			f.unknown("enable -f")
		case c.name() == "bind" && strings.HasPrefix(a.Text, "-x"):
			f.unknown("bind -x")
		case last || !a.Known || c.name() == "read" || c.name() == "wait":
		case a.Text == "-C":
			f.option(c, c.name()+" -C", args[i+1])
		case a.Text == "-W" && args[i+1].Known:
			f.template(args[i+1].Text, c.name()+" -W")
		}
	}
}

// option is the value of an option that a shell will run.
func (f *finder) option(c *call, via string, value field) {
	if !value.Known {
		f.unknown("%s: text is not known", via)
		return
	}
	f.text(value.Text, via, &call{dir: c.dir, stdin: input{from: fromPipe}})
}
