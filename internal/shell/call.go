package shell

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// call is one command on its way through wrappers to what it runs.
type call struct {
	fields        []field
	writes, reads []Word
	via           []string
	stdin         input
	dir           *Word // it runs elsewhere than the shell is
	external      bool  // started by a program: no functions, no builtins
	noFunc        bool  // command, builtin: no functions
}

func (c *call) name() string {
	if len(c.fields) == 0 || !c.fields[0].Known {
		return ""
	}
	return program(c.fields[0].Text)
}

func (c *call) args() []field { return c.fields[1:] }

// simple is a command with its assignments and redirections.
func (f *finder) simple(x *syntax.CallExpr, redirs []*syntax.Redirect) {
	e := f.env
	e.failed = e.dirs
	before := e.dirs
	aliased := f.alias(x, redirs)
	c := &call{fields: f.all(x.Args), via: f.via, stdin: f.stdin}
	r := f.redirects(redirs)
	c.writes, c.reads = r.writes, r.reads
	if r.stdin != nil {
		c.stdin = *r.stdin
	}
	f.output = Word{}
	if len(c.fields) == 0 {
		for _, a := range x.Assigns {
			f.assign(a, false)
		}
		if len(c.writes)+len(c.reads) > 0 {
			f.emit(c)
		}
		f.output = Word{"", len(redirs) == 0}
		return
	}
	old := make([]binding, len(x.Assigns))
	for i, a := range x.Assigns {
		old[i] = e.names[a.Name.Value]
		f.assign(a, true)
	}
	f.output = Word{}
	f.run(c)
	for i, a := range x.Assigns {
		if b, ok := e.names[a.Name.Value]; ok && !keeps(c.name()) {
			b.value, b.list, b.array, b.exported = old[i].value, old[i].list, old[i].array, old[i].exported
			e.set(a.Name.Value, b)
		} else if ok { // in POSIX mode an assignment before these stays
			e.set(a.Name.Value, join(old[i], b))
		}
	}
	if aliased {
		e.dirs = anyDir(before, e.dirs)
	}
	if len(c.writes) > 0 || aliased {
		f.output = Word{}
	}
	if c.name() == "exec" && len(c.fields) == 1 && r.stdin != nil {
		f.stdin = *r.stdin
	}
}

// keeps names the builtins after which an assignment before them may stay.
func keeps(name string) bool {
	switch name {
	case "eval", "exec", "export", "readonly", "set", ".", "source", ":", "unset", "trap", "shift", "times", "return":
		return true
	}
	return false
}

// assign gives a variable the value of an assignment.
func (f *finder) assign(a *syntax.Assign, export bool) {
	if a.Name == nil {
		return
	}
	e, name := f.env, a.Name.Value
	f.arith(a.Index)
	old := e.names[name]
	switch {
	case a.Array != nil:
		f.array(a, old)
	default:
		v := f.single(a.Value)
		f.fixed(name, v)
		switch {
		case a.Index != nil:
			v = Word{}
		case a.Append && old.array:
			v = Word{}
		case a.Append:
			v = Word{old.value.Text + v.Text, old.value.Known && v.Known}
		}
		if f.grow(len(v.Text)) {
			e.assign(name, v)
		}
	}
	if export {
		b := e.names[name]
		b.exported = true
		e.set(name, b)
	}
}

func (f *finder) array(a *syntax.Assign, old binding) {
	list, ok := []Word(nil), true
	if a.Append {
		list, ok = slices.Clone(old.list), old.array
	}
	for _, el := range a.Array.Elems {
		f.arith(el.Index)
		if el.Index != nil {
			ok = false
		}
		if el.Value == nil {
			continue
		}
		for _, fd := range f.fields(el.Value) {
			ok = ok && !fd.loose && fd.Known || ok && !fd.loose
			list = append(list, fd.Word)
		}
	}
	if !f.grow(fieldSize * len(list)) {
		return
	}
	b := f.env.names[a.Name.Value]
	b.value, b.list, b.array = Word{}, list, ok && !b.odd
	f.env.set(a.Name.Value, b)
}

// fixed looks at a value that a program will run, or a shell.
func (f *finder) fixed(name string, v Word) {
	if subscript(v.Text) {
		f.subscript = true
	}
	switch kind := codeVariable(name); {
	case kind == "" || v.Known && v.Text == "":
	case kind == "file":
		f.unknown("file of %s", name)
	case !v.Known:
		f.unknown("%s is not known", name)
	case kind == "prompt":
		f.template(v.Text, name)
	case kind == "git":
		f.gitVariable(name, v.Text)
	default:
		f.text(v.Text, name, &call{external: true, dir: &Word{}})
	}
}

// codeVariable says whether programs run what is in a variable.
func codeVariable(name string) string {
	switch name {
	case "GIT_SSH_COMMAND", "GIT_SSH", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_PAGER", "GIT_EXTERNAL_DIFF",
		"GIT_ASKPASS", "GIT_PROXY_COMMAND", "SSH_ASKPASS", "SUDO_ASKPASS", "EDITOR", "VISUAL", "FCEDIT",
		"PAGER", "MANPAGER", "SYSTEMD_PAGER", "BROWSER", "LESSOPEN", "LESSCLOSE", "RSYNC_RSH", "CVS_RSH",
		"PROMPT_COMMAND", "TAR_OPTIONS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CMAKE_C_COMPILER_LAUNCHER":
		return "command"
	case "PS0", "PS1", "PS2", "PS4", "RPROMPT":
		return "prompt"
	case "BASH_ENV", "ENV", "LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES":
		return "file"
	}
	if strings.HasPrefix(name, "BASH_FUNC_") {
		return "file"
	}
	if name == "GIT_CONFIG_PARAMETERS" || strings.HasPrefix(name, "GIT_CONFIG_KEY_") {
		return "git"
	}
	return ""
}

// declare is export, local, readonly, declare, typeset.
func (f *finder) declare(c *syntax.DeclClause) {
	cm := &call{fields: known(c.Variant.Value), via: f.via}
	exported, odd := c.Variant.Value == "export", c.Variant.Value == "readonly" || c.Variant.Value == "nameref"
	functions := false
	for _, a := range c.Args {
		if !f.step() {
			return
		}
		if a.Naked && a.Name == nil { // an option, or words that may be assignments
			for _, fd := range f.fields(a.Value) {
				cm.fields = append(cm.fields, fd)
				if !fd.Known {
					f.unknown("%s: a word is not known", c.Variant.Value)
				}
				if fd.Text != "" && strings.ContainsAny(fd.Text[:1], "-+") {
					exported = exported || strings.Contains(fd.Text, "x")
					functions = functions || strings.Contains(fd.Text, "f")
					odd = odd || strings.ContainsAny(fd.Text, "ilucnrA")
				} else {
					f.word(fd.Text, exported)
				}
			}
			continue
		}
		cm.fields = append(cm.fields, f.declared(a, exported, odd, functions))
	}
	f.emit(cm)
}

// declared is one name of a declaration, as the word it was written as.
func (f *finder) declared(a *syntax.Assign, exported, odd, functions bool) field {
	e, name := f.env, a.Name.Value
	if functions {
		if b, ok := e.names[name+"()"]; ok && exported {
			b.exported = true
			e.set(name+"()", b)
		}
		return known(name)[0]
	}
	if !a.Naked {
		f.assign(a, exported)
	}
	b := e.names[name]
	if strings.HasPrefix(strings.TrimSpace(b.value.Text), "(") {
		b.value = Word{} // declare -a x='(a b)' makes a list of it
	}
	b.exported = b.exported || exported
	if b.odd = b.odd || odd; odd {
		b.value, b.list, b.array = Word{}, nil, false
	}
	if !a.Naked || odd || b.exported {
		e.set(name, b)
	}
	if a.Naked {
		return known(name)[0]
	}
	if a.Array != nil || a.Index != nil {
		return field{Word: Word{Text: name + "="}}
	}
	v := e.names[name].value
	return field{Word: Word{name + "=" + v.Text, v.Known}}
}

// word is an assignment in a word that the grammar does not see as one.
func (f *finder) word(text string, exported bool) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return
	}
	f.fixed(name, Word{value, true})
	f.env.assign(name, Word{value, true})
	b := f.env.names[name]
	b.exported = b.exported || exported
	f.env.set(name, b)
}

// define remembers a function for when it is called.
func (f *finder) define(c *syntax.FuncDecl) {
	f.env.failed = f.env.dirs
	names := c.Names
	if c.Name != nil {
		names = []*syntax.Lit{c.Name}
	}
	for _, n := range names {
		b := f.env.names[n.Value+"()"]
		f.env.set(n.Value+"()", binding{bodies: []*syntax.Stmt{c.Body}, exported: b.exported})
		if _, again := f.funcs[c.Body]; !again {
			f.funcs[c.Body] = &walked{name: n.Value}
			f.order = append(f.order, c.Body)
		}
	}
	if len(names) == 0 {
		f.within("function", func() { f.stmt(c.Body) })
	}
}

// function walks the bodies of the function that a command calls, if it is
// one, and says whether it surely is.
func (f *finder) function(c *call) bool {
	b := f.env.names[c.fields[0].Text+"()"]
	for _, body := range b.bodies {
		f.body(c, body)
	}
	return len(b.bodies) > 0 && !b.maybe
}

func (f *finder) body(c *call, body *syntax.Stmt) {
	state := f.funcs[body]
	if state == nil || state.active > 1 {
		return
	}
	e := f.env
	params, ok := words(c.args()), !slices.ContainsFunc(c.args(), func(a field) bool { return a.loose })
	again := state.active > 0 // the second time round stands for all that follow
	old, stdin, returned := e.names["@"], f.stdin, e.returned
	f.stdin, e.returned = c.stdin, nil
	e.setArgs(params, ok)
	state.called = true
	state.active++
	e.calls++
	if len(c.writes)+len(c.reads) > 0 {
		f.emit(&call{writes: c.writes, reads: c.reads, via: f.via})
	}
	f.within("function "+brief(state.name), func() {
		f.perhaps(func() {
			if again {
				e.forgetAll()
			}
			f.stmt(body)
		})
	})
	e.calls--
	state.active--
	e.dirs, e.failed = anyDir(e.dirs, e.returned), anyDir(e.failed, e.returned)
	f.stdin, e.returned = stdin, returned
	e.set("@", old)
}

// uncalled walks the functions of the line that it does not seem to call: a
// name that is not known may be theirs.
func (f *finder) uncalled() {
	for len(f.order) > 0 { // it grows by those within
		body := f.order[0]
		f.order = f.order[1:]
		if state := f.funcs[body]; !state.called {
			f.env.dirs, f.env.failed = []Word{{}}, []Word{{}}
			f.env.setArgs(nil, false)
			state.called = true
			f.within("function "+brief(state.name), func() { f.stmt(body) })
		}
	}
}

// alias walks what a command is if its first word is an alias of the line. The
// plain command is looked at as well: bash minds aliases only if told to.
func (f *finder) alias(x *syntax.CallExpr, redirs []*syntax.Redirect) bool {
	if len(x.Args) == 0 {
		return false
	}
	name := x.Args[0].Lit()
	b := f.env.names[name+"="]
	if name == "" || len(b.aliases) == 0 || slices.Contains(f.via, "alias "+name) {
		return false
	}
	for _, text := range b.aliases {
		if !text.Known {
			f.unknown("alias %q is not known", name)
			continue
		}
		if f.parsed += len(text.Text); f.parsed > maxParsed {
			f.bound("text too long")
			return true
		}
		list, err := statements(text.Text+" ", syntax.LangBash)
		if err != nil || len(list) == 0 {
			f.unknown("alias %q", name)
			continue
		}
		if strings.TrimRight(text.Text, " \t") != text.Text && len(x.Args) > 1 && len(f.env.names[x.Args[1].Lit()+"="].aliases) > 0 {
			f.unknown("alias %q, and an alias after it", name)
		}
		last, ok := list[len(list)-1].Cmd.(*syntax.CallExpr)
		if !ok {
			f.unknown("alias %q", name)
			continue
		}
		last.Args = append(last.Args, x.Args[1:]...)
		last.Assigns = append(slices.Clone(x.Assigns), last.Assigns...)
		list[len(list)-1].Redirs = append(list[len(list)-1].Redirs, redirs...)
		f.within("alias "+name, func() { f.perhaps(func() { f.stmts(list) }) })
	}
	return true
}

// run finds out what a command runs.
func (f *finder) run(c *call) {
	if !f.step() {
		return
	}
	f.fill(c)
	if len(c.fields) == 0 {
		if len(c.writes)+len(c.reads) > 0 {
			f.emit(c)
		}
		return
	}
	head := c.fields[0]
	switch {
	case !head.Known:
		f.unnamed(c)
	case !c.external && !c.noFunc && len(f.env.names[head.Text+"()"].bodies) > 0:
		before := f.env.dirs
		if !f.function(c) {
			f.dispatch(c)
			f.env.dirs, f.output = anyDir(before, f.env.dirs), Word{}
		}
	case head.Text == "":
		f.emit(c)
	default:
		f.dispatch(c)
	}
}

// fill makes the words unknown that another program will replace.
func (f *finder) fill(c *call) {
	for i, w := range c.fields {
		for _, h := range f.holes {
			if strings.Contains(w.Text, h) {
				if i == 0 || !c.fields[i].loose {
					c.fields = slices.Clone(c.fields)
				}
				w.Text, w.Known = strings.ReplaceAll(w.Text, h, ""), false
				c.fields[i] = w
			}
		}
	}
}

// unnamed is a command whose program is not known. What stands first may also
// be nothing at all ($SUDO git push), so what follows is looked at too.
func (f *finder) unnamed(c *call) {
	texts := make([]string, 0, len(c.fields))
	for _, w := range c.fields[:min(8, len(c.fields))] {
		if !w.Known {
			w.Text += "…"
		}
		texts = append(texts, w.Text)
	}
	f.unknown("program of %q is not known", brief(strings.Join(texts, " ")))
	f.emit(c)
	if head := c.fields[0]; head.loose && head.Text == "" && len(c.fields) > 1 {
		rest := *c
		rest.fields = c.args()
		f.within("", func() { f.run(&rest) })
	}
}

// through runs the rest of a command that a wrapper starts.
func (f *finder) through(c *call, via string, rest []field) {
	inner := *c
	inner.fields, inner.external = rest, true
	f.within(via, func() {
		inner.via = f.via
		f.run(&inner)
	})
}

// starts runs a command that a program starts which is a command itself.
func (f *finder) starts(c *call, via string, fields []field, dir *Word) {
	inner := call{fields: fields, external: true, dir: dir, stdin: c.stdin}
	if c.dir != nil {
		inner.dir = c.dir
	}
	f.within(via, func() {
		inner.via = f.via
		f.run(&inner)
	})
	f.output = Word{}
}

// text walks the text that a command hands to a shell of its own.
func (f *finder) text(text, via string, c *call) {
	f.shellText(text, via, "sh", c, nil)
}

func (f *finder) shellText(text, via, shell string, c *call, params []field) {
	old, stdin := f.env, f.stdin
	ok := !slices.ContainsFunc(params, func(p field) bool { return p.loose })
	f.env = old.child(words(params), ok)
	if f.stdin = c.stdin; c.dir != nil {
		f.env.dirs, f.env.failed = []Word{*c.dir}, []Word{*c.dir}
	}
	f.within(via, func() { f.read(text, shell) })
	f.env, f.stdin = old, stdin
}
