package shell

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// The bounds of the work that one line may make. What is beyond is Unknown.
const (
	maxInput    = 1 << 20  // bytes of a line
	maxNesting  = 20       // commands within commands, in any way
	maxCommands = 10_000   // commands found
	maxSteps    = 100_000  // statements and words looked at
	maxParsed   = 4 << 20  // bytes parsed, texts within texts included
	maxText     = 16 << 20 // bytes of words made
	maxWord     = 1 << 20  // bytes of one word
	maxBraces   = 1000     // words out of one word's braces
	maxReasons  = 100      // entries of Unknown
	maxDirs     = 4        // directories a command may be in
)

// Word is one word of a command.
type Word struct {
	// Text is exactly what the shell will pass if Known. Otherwise it has the
	// literal parts, and the rest is left out: a leading ~ then stands for the
	// home directory, a leading . may stand for $PWD, and the characters of a
	// glob stay as they are written.
	Text  string
	Known bool
}

// Command is one command that the line may run.
type Command struct {
	// Name is the base name of the program, "" when it is not known.
	Name string
	// Words has the program first, wrappers such as env or sudo removed. It is
	// empty for redirections that have no command, or a compound one.
	Words []Word
	// Writes and Reads are the files of its redirections.
	Writes, Reads []Word
	// Dir is where it runs, relative to where the line began: "" is there. It
	// is not Known when it cannot be told.
	Dir Word
	// Via says how it was found, outermost first: "sh -c", "sudo", "$()".
	Via []string
	// Env are the variables that the line itself exports to it, as NAME=VALUE
	// in the order of their names.
	Env []Word
	// Loose are the places in Words of those that are not quoted and not
	// Known: each may be no word at all, or several.
	Loose []int
}

// Script is what was found in a line.
type Script struct {
	Commands []Command
	// Unknown says why parts could not be understood. Empty: everything was.
	// Some reasons have a fixed form: "python code" and the like for code of
	// another language, "pipe to sh" for what comes out of a pipe, "file to sh"
	// and "file \"name\"" for a file that a shell reads.
	Unknown []string
}

// Parse finds the commands of a line, or of a whole script.
func Parse(line string) (s Script) {
	f := &finder{seen: map[string]struct{}{}, funcs: map[*syntax.Stmt]*walked{}}
	f.env = newEnv(&f.steps)
	// The parser of a hostile text is somebody else's code: if it breaks, then
	// nothing is known of the line, which is not a reason to fall over.
	defer func() {
		if r := recover(); r != nil {
			s = Script{Commands: f.script.Commands, Unknown: append(f.script.Unknown, fmt.Sprintf("parser broke: %v", r))}
		}
	}()
	f.line(line)
	f.uncalled()
	if f.arithmetic && f.subscript {
		f.unknown("arithmetic may run the command in a subscript")
	}
	return f.script
}

// finder is the state of one Parse.
type finder struct {
	script Script
	seen   map[string]struct{} // commands and reasons already in script
	env    *env
	via    []string
	stdin  input
	output Word     // what the last statement wrote to stdout, if Known
	holes  []string // text that another program replaces, as xargs -I does
	lang   syntax.LangVariant
	zsh    bool
	funcs  map[*syntax.Stmt]*walked // bodies of functions
	order  []*syntax.Stmt           // the same, in the order of the line
	quiet  int                      // > 0: look at effects, report nothing
	depth  int
	steps  int
	parsed int
	made   int  // bytes of words
	over   bool // a bound was met: stop

	arithmetic, subscript bool
}

// walked is what is known of a function's body.
type walked struct {
	name   string
	called bool
	active int
}

// unknown reports that a part of the line was not understood.
func (f *finder) unknown(format string, args ...any) {
	reason := brief(fmt.Sprintf(format, args...))
	if _, twice := f.seen["?"+reason]; twice || f.quiet > 0 || len(f.script.Unknown) >= maxReasons {
		return
	}
	f.seen["?"+reason] = struct{}{}
	f.script.Unknown = append(f.script.Unknown, reason)
}

// bound stops the work: what is left is unknown.
func (f *finder) bound(reason string) {
	if f.over {
		return
	}
	quiet := f.quiet
	f.over, f.quiet = true, 0
	f.unknown("%s", reason)
	f.quiet = quiet
}

// step counts one piece of work and says whether to do it.
func (f *finder) step() bool {
	if f.steps++; f.steps > maxSteps {
		f.bound("too much to look at")
	}
	return !f.over
}

// grow counts bytes of words, which variables can multiply.
func (f *finder) grow(n int) bool {
	if f.made += n; n > maxWord || f.made > maxText {
		f.bound("words too long")
	}
	return !f.over
}

// within does something one level deeper, found by way of via.
func (f *finder) within(via string, do func()) {
	if f.depth >= maxNesting {
		f.unknown("nested too deeply")
		return
	}
	old := f.via
	if via != "" {
		f.via = append(slices.Clip(f.via), via)
	}
	f.depth++
	do()
	f.depth--
	f.via = old
}

// emit adds a command to the script, once for each directory it may run in.
func (f *finder) emit(c *call) {
	if f.quiet > 0 || f.over {
		return
	}
	base := Command{Name: c.name(), Words: words(c.fields), Writes: c.writes, Reads: c.reads, Via: c.via, Env: f.env.exports(), Loose: loose(c.fields)}
	for _, dir := range f.dirsOf(c) {
		command := base
		command.Dir = dir
		key := command.key()
		if !f.grow(len(key)) {
			return
		}
		if _, twice := f.seen[key]; twice {
			continue
		}
		if len(f.script.Commands) >= maxCommands {
			f.bound("too many commands")
			return
		}
		f.seen[key] = struct{}{}
		f.script.Commands = append(f.script.Commands, command)
	}
}

// loose gives the places of words that may be none, or several.
func loose(fields []field) (places []int) {
	for i, fd := range fields {
		if fd.loose && !fd.Known {
			places = append(places, i)
		}
	}
	return places
}

func (f *finder) dirsOf(c *call) []Word {
	switch {
	case c.dir != nil:
		return []Word{*c.dir}
	case len(f.env.dirs) == 0: // after an exit: it should not run at all
		return []Word{{}}
	}
	return f.env.dirs
}

// key tells commands apart.
func (c *Command) key() string {
	var b strings.Builder
	for _, list := range [][]Word{{c.Dir}, c.Words, c.Writes, c.Reads, c.Env} {
		for _, w := range list {
			fmt.Fprintf(&b, "%t %d:%s ", w.Known, len(w.Text), w.Text)
		}
		b.WriteByte('|')
	}
	for _, v := range c.Via {
		fmt.Fprintf(&b, "%d:%s ", len(v), v)
	}
	fmt.Fprint(&b, c.Loose)
	return b.String()
}

// program is the base name of a path.
func program(text string) string {
	if text == "" || strings.HasSuffix(text, "/") {
		return text
	}
	return path.Base(text)
}

// brief keeps a reason short enough to be read.
func brief(s string) string {
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
