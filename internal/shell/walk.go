package shell

import (
	"slices"

	"mvdan.cc/sh/v3/syntax"
)

// input is where a command reads from.
type input struct {
	from source
	text Word // what it reads, if Known
}

type source int

const (
	fromOutside source = iota // what the line itself was given: nothing
	fromPipe
	fromDocument // << and <<<
	fromFile
)

// stmts walks a list: each one runs whether the last worked or not, unless
// set -e is in force.
func (f *finder) stmts(list []*syntax.Stmt) {
	for i, s := range list {
		if f.over {
			return
		}
		if i > 0 {
			f.next(list[i-1])
		}
		f.stmt(s)
	}
}

func (f *finder) next(last *syntax.Stmt) {
	e := f.env
	if _, plain := last.Cmd.(*syntax.CallExpr); !e.errexit || e.tested > 0 || !plain || last.Negated {
		e.dirs = anyDir(e.dirs, e.failed)
	}
	e.failed = e.dirs
}

func (f *finder) stmt(s *syntax.Stmt) {
	if s == nil || !f.step() {
		return
	}
	if s.Background || s.Coprocess || s.Disown {
		f.apart(func() { f.command(s) })
		f.output = Word{}
		return
	}
	if s.Negated {
		f.tested(func() { f.command(s) })
		f.env.dirs, f.env.failed = f.env.failed, f.env.dirs
		return
	}
	f.command(s)
}

// tested walks what is asked whether it works: set -e is not in force there.
func (f *finder) tested(do func()) {
	f.env.tested++
	do()
	f.env.tested--
}

// apart walks what runs in a shell of its own: it changes nothing here.
func (f *finder) apart(do func()) {
	before, stdin := f.env.here(), f.stdin
	do()
	f.env.back(before)
	f.env.failed = f.env.dirs
	f.stdin = stdin
}

// perhaps walks what may not run.
func (f *finder) perhaps(do func()) {
	mark, errexit := len(f.env.undo), f.env.errexit
	do()
	f.env.doubt(mark)
	f.env.errexit = f.env.errexit && errexit
}

func (f *finder) command(s *syntax.Stmt) {
	switch c := s.Cmd.(type) {
	case nil:
		f.simple(&syntax.CallExpr{}, s.Redirs)
		return
	case *syntax.CallExpr:
		f.simple(c, s.Redirs)
		return
	case *syntax.FuncDecl:
		f.define(c)
		return
	}
	old := f.stdin
	r := f.redirects(s.Redirs)
	if r.stdin != nil {
		f.stdin = *r.stdin
	}
	if len(r.writes)+len(r.reads) > 0 {
		f.emit(&call{writes: r.writes, reads: r.reads, via: f.via})
	}
	f.within("", func() { f.compound(s.Cmd) })
	f.stdin = old
	if len(r.writes) > 0 {
		f.output = Word{}
	}
}

func (f *finder) compound(c syntax.Command) {
	f.output = Word{}
	switch c := c.(type) {
	case *syntax.Subshell:
		f.apart(func() { f.stmts(c.Stmts) })
		f.oneOutput(c.Stmts)
		return
	case *syntax.Block:
		f.stmts(c.Stmts)
		f.oneOutput(c.Stmts)
		return
	case *syntax.BinaryCmd:
		f.binary(c)
		return
	case *syntax.TimeClause:
		f.within("time", func() { f.stmt(c.Stmt) })
		return
	case *syntax.IfClause:
		f.ifs(c)
	case *syntax.WhileClause:
		f.loop(func() { f.while(c) })
	case *syntax.ForClause:
		f.forLoop(c)
	case *syntax.CaseClause:
		f.cases(c)
	case *syntax.CoprocClause:
		f.within("coproc", func() {
			f.apart(func() {
				f.stdin = input{from: fromPipe}
				f.stmt(c.Stmt)
			})
		})
	default:
		f.clause(c)
	}
	f.output = Word{}
}

// clause is a command of the shell's own grammar that starts no program.
func (f *finder) clause(c syntax.Command) {
	switch c := c.(type) {
	case *syntax.ArithmCmd:
		f.arith(c.X)
	case *syntax.LetClause:
		for _, x := range c.Exprs {
			f.arith(x)
		}
	case *syntax.TestClause:
		f.test(c.X)
	case *syntax.DeclClause:
		f.declare(c)
	default:
		f.unknown("command %T", c)
	}
}

// oneOutput keeps the output of a list only if it is that of one command.
func (f *finder) oneOutput(list []*syntax.Stmt) {
	if len(list) != 1 {
		f.output = Word{}
	}
}

func (f *finder) ifs(c *syntax.IfClause) {
	e := f.env
	var ends []Word
	mark := len(e.undo)
	closed := false
	for ; c != nil && f.step(); c = c.Else {
		if len(c.Cond) == 0 {
			closed = true
		}
		f.tested(func() { f.stmts(c.Cond) })
		failed := e.failed
		f.perhaps(func() { f.stmts(c.Then) })
		ends = anyDir(ends, anyDir(e.dirs, e.failed))
		e.dirs, e.failed = failed, failed
	}
	e.doubt(mark)
	if !closed {
		ends = anyDir(ends, e.dirs)
	}
	e.dirs, e.failed = ends, ends
}

func (f *finder) cases(c *syntax.CaseClause) {
	f.single(c.Word)
	start := f.env.dirs
	ends := start
	for _, it := range c.Items {
		for _, p := range it.Patterns {
			f.single(p)
		}
		f.env.dirs, f.env.failed = ends, ends // it may be reached by ;& as well
		f.perhaps(func() { f.stmts(it.Stmts) })
		ends = anyDir(ends, anyDir(f.env.dirs, f.env.failed))
	}
	f.env.dirs, f.env.failed = ends, ends
}

func (f *finder) while(c *syntax.WhileClause) {
	f.tested(func() { f.stmts(c.Cond) })
	if c.Until {
		f.env.dirs = f.env.failed
	}
	f.stmts(c.Do)
}

// loop walks a body that may run any number of times: first only for what it
// changes, then for its commands, with that in doubt.
func (f *finder) loop(body func()) {
	e := f.env
	before, start := e.here(), e.dirs
	f.quiet++
	body()
	f.quiet--
	moved := !slices.Equal(anyDir(start, anyDir(e.dirs, e.failed)), start)
	ends := e.back(before)
	for name, b := range ends {
		old := e.names[name]
		j := join(old, b)
		j.value, j.list, j.array = Word{}, nil, false
		e.set(name, j)
	}
	if moved {
		e.dirs = anyDir(start, []Word{{}})
	}
	start = e.dirs
	f.perhaps(body)
	e.dirs = anyDir(start, anyDir(e.dirs, e.failed))
	e.failed = e.dirs
}

// mostItems is how many words of a for are looked at one by one.
const mostItems = 32

func (f *finder) forLoop(c *syntax.ForClause) {
	switch l := c.Loop.(type) {
	case *syntax.CStyleLoop:
		f.arith(l.Init)
		f.loop(func() { f.arith(l.Cond); f.stmts(c.Do); f.arith(l.Post) })
	case *syntax.WordIter:
		items, ok := f.items(l)
		if c.Select || !ok || len(items) == 0 || len(items) > mostItems {
			f.loop(func() {
				f.env.forget(l.Name.Value)
				f.stmts(c.Do)
			})
			return
		}
		for _, it := range items {
			before := f.env.dirs
			f.perhaps(func() {
				f.env.assign(l.Name.Value, it.Word)
				f.stmts(c.Do)
			})
			f.env.dirs = anyDir(before, anyDir(f.env.dirs, f.env.failed))
			f.env.failed = f.env.dirs
		}
	}
}

// items are the words of a for, if they are certain.
func (f *finder) items(l *syntax.WordIter) (items []field, ok bool) {
	if !l.InPos.IsValid() {
		params, ok := f.env.args()
		for _, p := range params {
			items = append(items, field{Word: p})
		}
		return items, ok
	}
	items = f.all(l.Items)
	return items, !slices.ContainsFunc(items, func(it field) bool { return !it.Known })
}

// test looks at the commands in [[ … ]].
func (f *finder) test(x syntax.TestExpr) {
	stack := []syntax.TestExpr{x}
	for len(stack) > 0 && f.step() {
		x = stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch x := x.(type) {
		case *syntax.BinaryTest:
			switch x.Op {
			case syntax.TsEql, syntax.TsNeq, syntax.TsLeq, syntax.TsGeq, syntax.TsLss, syntax.TsGtr:
				f.arithmetic = true
			default:
			}
			stack = append(stack, x.Y, x.X)
		case *syntax.UnaryTest:
			f.arithmetic = f.arithmetic || x.Op == syntax.TsVarSet
			stack = append(stack, x.X)
		case *syntax.ParenTest:
			stack = append(stack, x.X)
		case *syntax.Word:
			if x != nil && subscript(f.single(x).Text) {
				f.subscript = true
			}
		}
	}
}

// plainStmt says that a statement is nothing but its command.
func plainStmt(s *syntax.Stmt) bool {
	return !s.Negated && !s.Background && !s.Coprocess && !s.Disown && len(s.Redirs) == 0
}

// operand is a statement of a list, and the operator that stands before it.
type operand struct {
	op   syntax.BinCmdOperator
	stmt *syntax.Stmt
}

// binary walks a list or a pipeline. The tree of a long one is deep on its
// left side: it is taken apart without recursion.
func (f *finder) binary(c *syntax.BinaryCmd) {
	pipe := isPipe(c.Op)
	var list []operand
	for {
		list = append(list, operand{c.Op, c.Y})
		left, ok := c.X.Cmd.(*syntax.BinaryCmd)
		if !ok || !plainStmt(c.X) || isPipe(left.Op) != pipe {
			break
		}
		c = left
	}
	list = append(list, operand{c.Op, c.X})
	slices.Reverse(list)
	if pipe {
		f.pipeline(list)
	} else {
		f.andOr(list)
	}
}

func isPipe(op syntax.BinCmdOperator) bool {
	return op == syntax.Pipe || op == syntax.PipeAll
}

// andOr walks a && b || c.
func (f *finder) andOr(list []operand) {
	e := f.env
	f.tested(func() { f.stmt(list[0].stmt) })
	mark := len(e.undo)
	for i, o := range list[1:] {
		if f.over {
			return
		}
		walk := func() { f.stmt(o.stmt) }
		if i < len(list)-2 {
			walk = func() { f.tested(func() { f.stmt(o.stmt) }) }
		}
		ok, failed := e.dirs, e.failed
		if o.op == syntax.AndStmt {
			walk()
			e.failed = anyDir(failed, e.failed)
			continue
		}
		e.doubt(mark)
		e.dirs = failed
		walk()
		e.dirs = anyDir(ok, e.dirs)
		e.doubt(mark)
	}
	e.doubt(mark)
	f.output = Word{}
}

// pipeline walks a | b | c. The last may run in this very shell (lastpipe,
// zsh), the others do not.
func (f *finder) pipeline(list []operand) {
	e, stdin := f.env, f.stdin
	for i, o := range list {
		if f.over {
			break
		}
		f.output = Word{}
		before := e.here()
		f.stmt(o.stmt)
		if i < len(list)-1 {
			e.back(before)
			if list[i+1].op == syntax.PipeAll {
				f.output = Word{}
			}
			f.stdin = input{fromPipe, f.output}
			continue
		}
		e.doubt(before.mark)
		e.dirs = anyDir(before.dirs, e.dirs)
		e.failed = e.dirs
	}
	f.stdin = stdin
}

// redirection is what the redirections of a command come to.
type redirection struct {
	writes, reads []Word
	stdin         *input
}

func (f *finder) redirects(list []*syntax.Redirect) redirection {
	var r redirection
	for _, x := range list {
		if !f.step() {
			break
		}
		f.redirect(&r, x)
	}
	return r
}

func (f *finder) redirect(r *redirection, x *syntax.Redirect) {
	zero := x.N == nil || x.N.Value == "0"
	take := func(in input) {
		if zero {
			r.stdin = &in
		}
	}
	switch x.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		take(input{fromDocument, f.document(x)})
	case syntax.WordHdoc:
		w := f.single(x.Word)
		w.Text += "\n"
		take(input{fromDocument, w})
	case syntax.DplIn, syntax.DplOut:
		w := f.single(x.Word)
		if x.Op == syntax.DplIn {
			take(input{from: fromPipe})
		} else if x.N == nil && !descriptor(w) {
			r.writes = append(r.writes, w)
		}
	case syntax.RdrIn, syntax.RdrInOut:
		file, code := f.target(x)
		r.reads = append(r.reads, file...)
		if x.Op == syntax.RdrInOut {
			r.writes = append(r.writes, file...)
		}
		switch {
		case code:
			take(input{from: fromPipe})
		case len(file) == 1 && file[0] == (Word{"/dev/null", true}):
			take(input{})
		case len(file) == 1 && file[0] == (Word{"/dev/stdin", true}):
		default:
			take(input{from: fromFile})
		}
	default:
		file, _ := f.target(x)
		r.writes = append(r.writes, file...)
	}
}

// descriptor says that the word after >& is a number, not a file.
func descriptor(w Word) bool {
	if !w.Known || w.Text == "" {
		return false
	}
	for i, r := range w.Text {
		if (r < '0' || r > '9') && (r != '-' || i != len(w.Text)-1) {
			return false
		}
	}
	return true
}

// target is the file of a redirection, unless it is a command's pipe.
func (f *finder) target(x *syntax.Redirect) (file []Word, code bool) {
	fields := f.fields(x.Word)
	for _, fd := range fields {
		code = code || fd.code
	}
	if code {
		return nil, true
	}
	return words(fields), false
}
