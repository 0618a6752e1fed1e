package shell

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// binding is what the line gave to a name. A name without one has what the
// environment gives it, which is not known.
type binding struct {
	value    Word
	list     []Word // of an array
	array    bool
	exported bool
	odd      bool           // has an attribute that changes what is assigned
	bodies   []*syntax.Stmt // of a function: any of them
	maybe    bool           // the function, or the alias, may not be there
	aliases  []Word         // texts of an alias: any of them
}

// env is the state of the shell that the line is in.
type env struct {
	names map[string]binding // variables; functions have "()" after their name, aliases "="
	undo  []change
	// dirs are the directories the next command may be in if the last one
	// worked, failed those if it did not. None: it does not get there.
	dirs, failed []Word
	calls        int
	returned     []Word // directories at the returns of the function
	errexit      bool
	tested       int  // > 0: in what is asked whether it works, where set -e is not in force
	spent        *int // steps of the finder: long logs cost some, too
}

// args are the positional parameters. They are kept as an array that is called
// @, so that what happens to them in a branch is in doubt after it, too.
func (e *env) args() (list []Word, ok bool) {
	b := e.names["@"]
	return b.list, b.array
}

func (e *env) setArgs(list []Word, ok bool) {
	e.set("@", binding{list: list, array: ok})
}

// exports are the variables that programs started now are given by the line.
func (e *env) exports() (list []Word) {
	e.spend(len(e.names))
	for name, b := range e.names {
		if b.exported && !b.array && !strings.HasSuffix(name, "()") && !strings.HasSuffix(name, "=") {
			list = append(list, Word{name + "=" + b.value.Text, b.value.Known})
		}
	}
	slices.SortFunc(list, func(a, b Word) int { return strings.Compare(a.Text, b.Text) })
	return list
}

// change is one entry of the log by which a branch is undone.
type change struct {
	name string
	old  binding
	had  bool
}

func newEnv(spent *int) *env {
	start := []Word{{Known: true}}
	return &env{names: map[string]binding{}, dirs: start, failed: start, spent: spent}
}

// spend counts work, a hundredth of a step each.
func (e *env) spend(n int) { *e.spent += n / 100 }

// child is the environment of a program that this shell starts.
func (e *env) child(params []Word, known bool) *env {
	e.spend(len(e.names))
	c := newEnv(e.spent)
	c.dirs, c.failed = e.dirs, e.dirs
	c.setArgs(params, known)
	for name, b := range e.names {
		if b.exported {
			c.names[name] = b
		}
	}
	return c
}

func (e *env) set(name string, b binding) {
	old, had := e.names[name]
	e.undo = append(e.undo, change{name, old, had})
	e.names[name] = b
}

// assign gives a variable a value and keeps its attributes.
func (e *env) assign(name string, value Word) {
	b := e.names[name]
	b.value, b.list, b.array = value, nil, false
	if b.odd {
		b.value = Word{}
	}
	e.set(name, b)
}

// forget makes a variable unknown.
func (e *env) forget(name string) { e.assign(name, Word{}) }

// forgetAll makes everything unknown: code that was not read may have run.
func (e *env) forgetAll() {
	e.spend(10 * len(e.names))
	for name, b := range e.names {
		if !strings.HasSuffix(name, "()") {
			b.value, b.list, b.array = Word{}, nil, false
		}
		b.maybe = true
		e.set(name, b)
	}
	e.dirs, e.failed = []Word{{}}, []Word{{}}
}

// place is everything of an env but its names.
type place struct {
	mark         int
	dirs, failed []Word
	errexit      bool
}

func (e *env) here() place {
	return place{len(e.undo), e.dirs, e.failed, e.errexit}
}

// back undoes everything since p and returns what the names had come to.
func (e *env) back(p place) map[string]binding {
	ends := e.since(p.mark)
	for i := len(e.undo) - 1; i >= p.mark; i-- {
		if c := e.undo[i]; c.had {
			e.names[c.name] = c.old
		} else {
			delete(e.names, c.name)
		}
	}
	e.undo = e.undo[:p.mark]
	e.dirs, e.failed, e.errexit = p.dirs, p.failed, p.errexit
	return ends
}

// since has the present bindings of the names that were set after a mark.
func (e *env) since(mark int) map[string]binding {
	e.spend(len(e.undo) - mark)
	ends := map[string]binding{}
	for _, c := range e.undo[mark:] {
		ends[c.name] = e.names[c.name]
	}
	return ends
}

// doubt makes what was set after a mark uncertain: it may not have been.
func (e *env) doubt(mark int) {
	e.spend(10 * (len(e.undo) - mark))
	first := map[string]binding{}
	for _, c := range slices.Backward(e.undo[mark:]) {
		first[c.name] = c.old
	}
	for name, old := range first {
		e.set(name, join(old, e.names[name]))
	}
}

// merge makes the present bindings cover others as well.
func (e *env) merge(ends map[string]binding) {
	for name, b := range ends {
		e.set(name, join(e.names[name], b))
	}
}

// join is a binding that may be either of two.
func join(a, b binding) binding {
	j := binding{
		exported: a.exported || b.exported, odd: a.odd || b.odd, maybe: true,
		bodies: either(a.bodies, b.bodies), aliases: either(a.aliases, b.aliases),
	}
	if a.value == b.value && a.array == b.array && slices.Equal(a.list, b.list) {
		j.value, j.list, j.array = a.value, a.list, a.array
	}
	return j
}

// either has the entries of both lists.
func either[T comparable](a, b []T) []T {
	all := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	return all
}

// anyDir has the directories of both lists; too many are as good as unknown.
func anyDir(a, b []Word) []Word {
	if all := either(a, b); len(all) <= maxDirs {
		return all
	}
	return []Word{{}}
}

// chdir is a directory after a cd to another. The shell itself takes .. away
// by name (cd -L), and so do we; with -P they stay for who follows links.
func chdir(from, to Word, physical bool) Word {
	switch {
	case strings.HasPrefix(to.Text, "~") && !to.Known:
		return to
	case !to.Known:
		return Word{}
	case strings.HasPrefix(to.Text, "/"):
		if physical {
			return to
		}
		return Word{path.Clean(to.Text), true}
	case strings.HasPrefix(from.Text, "~") && !from.Known && !physical && !strings.Contains(to.Text, ".."):
		return Word{Text: path.Join(from.Text, to.Text)}
	case !from.Known:
		return Word{}
	case physical && from.Text != "":
		return Word{from.Text + "/" + to.Text, true}
	case physical:
		return to
	}
	if joined := path.Join(from.Text, to.Text); joined != "." {
		return Word{joined, true}
	}
	return Word{"", true}
}

// cd goes somewhere else, if it works.
func (e *env) cd(to Word, physical bool) {
	var there []Word
	for _, from := range e.dirs {
		there = anyDir(there, []Word{chdir(from, to, physical)})
	}
	e.failed = e.dirs
	e.dirs = there
}
