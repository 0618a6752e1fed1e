package shell

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// special are the variables to which the shell gives values of its own.
func special(name string) bool {
	switch name {
	case "RANDOM", "SRANDOM", "SECONDS", "EPOCHSECONDS", "EPOCHREALTIME", "LINENO", "PWD", "OLDPWD",
		"DIRSTACK", "FUNCNAME", "GROUPS", "UID", "EUID", "PPID", "HISTCMD", "PIPESTATUS", "REPLY", "_",
		"OPTARG", "OPTIND", "MAPFILE", "COPROC", "SHELLOPTS", "SHLVL":
		return true
	}
	return strings.HasPrefix(name, "BASH")
}

// param adds the value of $x or ${x…}.
func (m *maker) param(p *syntax.ParamExp, quotes bool) {
	m.f.insideParam(p)
	name := paramName(p)
	if items, ok, star, isList := m.f.listOf(p, name); isList {
		m.list(items, ok, quotes, star)
		return
	}
	w := m.inside(m.f.paramValue(p, name))
	if quotes {
		m.add(w.Text, w.Known)
	} else {
		m.split(w)
	}
}

func paramName(p *syntax.ParamExp) string {
	if p.Param == nil {
		return ""
	}
	return p.Param.Value
}

// insideParam looks at the commands in ${x:-$(…)} and its like.
func (f *finder) insideParam(p *syntax.ParamExp) {
	if p.NestedParam != nil {
		f.value(p.NestedParam)
	}
	if p.Flags != nil { // of zsh; (e) runs what is in the value
		f.unknown("${(%s)…}", p.Flags.Value)
	}
	f.arith(p.Index)
	if p.Slice != nil {
		f.arith(p.Slice.Offset)
		f.arith(p.Slice.Length)
	}
	if p.Repl != nil {
		f.single(p.Repl.Orig)
		f.single(p.Repl.With)
	}
	if p.Exp != nil && p.Exp.Op == syntax.OtherParamOps {
		f.prompt(p)
	} else if p.Exp != nil {
		f.single(p.Exp.Word)
	}
}

// prompt is ${x@P}, which runs the $(…) in the value of x.
func (f *finder) prompt(p *syntax.ParamExp) {
	if op := p.Exp.Word.Lit(); op != "P" {
		return
	}
	b := f.env.names[paramName(p)]
	if !b.value.Known {
		f.unknown("${%s@P}", paramName(p))
		return
	}
	f.template(b.value.Text, "${@P}")
}

// template looks at a text in which the shell expands $(…) on its own.
func (f *finder) template(text, via string) {
	if !strings.ContainsAny(text, "$`") {
		return
	}
	f.within(via, func() {
		if f.parsed += len(text); f.parsed > maxParsed {
			f.bound("text too long")
			return
		}
		stack := &guarded{text, make([]uintptr, 100*maxNesting+frames)}
		w, err := syntax.NewParser().Document(stack)
		if err != nil {
			f.unknown("%s: %s", via, parserWords(err))
			return
		}
		m := &maker{f: f, whole: true}
		for _, part := range w.Parts {
			m.inQuotes(part)
		}
	})
}

// listOf is the value of $@, $*, ${a[@]}: a list.
func (f *finder) listOf(p *syntax.ParamExp, name string) (items []Word, ok, star, isList bool) {
	plain := p.Exp == nil && p.Repl == nil && p.Slice == nil && !p.Length && !p.Excl && !p.Width && p.Names == 0 && p.Modifiers == nil
	if name == "@" || name == "*" {
		if p.Slice != nil || p.Length || p.Excl {
			plain = false
		}
		params, ok := f.env.args()
		return params, ok && plain, name == "*", true
	}
	index := indexText(p.Index)
	if index != "@" && index != "*" {
		return nil, false, false, false
	}
	b := f.env.names[name]
	if !b.array && b.value.Known {
		return []Word{b.value}, plain, index == "*", true
	}
	return b.list, b.array && plain, index == "*", true
}

func indexText(x syntax.ArithmExpr) string {
	w, ok := x.(*syntax.Word)
	if !ok || w == nil {
		return ""
	}
	return w.Lit()
}

// paramValue is the value of one variable, with the operators that are plain.
func (f *finder) paramValue(p *syntax.ParamExp, name string) Word {
	w, unset := f.lookup(p, name)
	switch {
	case p.Excl, p.Width, p.IsSet, p.Names != 0, p.Repl != nil, p.Slice != nil, p.NestedParam != nil, p.Modifiers != nil, p.Flags != nil:
		return Word{}
	case p.Length:
		return Word{strconv.Itoa(len(w.Text)), w.Known && isPlain(w.Text)}
	case p.Exp == nil:
		return w
	}
	return f.operator(p.Exp, name, w, unset)
}

// isPlain says that a text is as long in characters as it is in bytes.
func isPlain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// lookup is what a name stands for, and whether it is known to be unset.
func (f *finder) lookup(p *syntax.ParamExp, name string) (w Word, unset bool) {
	params, ok := f.env.args()
	if n, err := strconv.Atoi(name); err == nil {
		switch {
		case n <= 0 || !ok:
			return Word{}, false
		case n > len(params):
			return Word{"", true}, true
		}
		return params[n-1], false
	}
	if name == "#" {
		if !ok {
			return Word{}, false
		}
		return Word{strconv.Itoa(len(params)), true}, false
	}
	b, bound := f.env.names[name]
	switch {
	case !bound && name == "HOME":
		return Word{Text: "~"}, false
	case name == "PWD":
		return Word{Text: "."}, false
	case special(name):
		return Word{}, false
	case b.array:
		return item(b.list, p.Index), false
	case p.Index != nil && indexText(p.Index) != "0":
		return Word{}, false
	}
	return b.value, false
}

// item is an entry of an array; without an index it is the first.
func item(list []Word, index syntax.ArithmExpr) Word {
	n := 0
	if index != nil {
		var err error
		if n, err = strconv.Atoi(indexText(index)); err != nil || n < 0 {
			return Word{}
		}
	}
	if n >= len(list) {
		return Word{}
	}
	for _, w := range list[:n] {
		if !w.Known { // it may have been several
			return Word{}
		}
	}
	return list[n]
}

func (f *finder) operator(x *syntax.Expansion, name string, w Word, unset bool) Word {
	if !w.Known {
		if x.Op == syntax.AssignUnset || x.Op == syntax.AssignUnsetOrNull {
			f.env.forget(name)
		}
		return Word{}
	}
	var other Word
	empty := unset
	switch x.Op {
	case syntax.AlternateUnset, syntax.DefaultUnset, syntax.AssignUnset:
		if w.Text == "" && !unset { // set to nothing, or unset: not told apart
			return Word{}
		}
		other = f.single(x.Word)
	case syntax.AlternateUnsetOrNull, syntax.DefaultUnsetOrNull, syntax.AssignUnsetOrNull:
		empty = w.Text == ""
		other = f.single(x.Word)
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		return w
	default:
		return Word{}
	}
	switch x.Op {
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if empty {
			return Word{"", true}
		}
		return other
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		if empty {
			f.env.assign(name, other)
		}
	default:
	}
	if empty {
		return other
	}
	return w
}

// arith looks at the commands in an arithmetic expression, and forgets the
// variables that it sets. It keeps its own stack: expressions may be long.
func (f *finder) arith(x syntax.ArithmExpr) {
	stack := []syntax.ArithmExpr{x}
	for len(stack) > 0 && f.step() {
		x = stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch x := x.(type) {
		case *syntax.BinaryArithm:
			if assigns(x.Op) {
				f.forgetNumber(x.X)
			}
			stack = append(stack, x.Y, x.X)
		case *syntax.UnaryArithm:
			if x.Op == syntax.Inc || x.Op == syntax.Dec {
				f.forgetNumber(x.X)
			}
			stack = append(stack, x.X)
		case *syntax.ParenArithm:
			stack = append(stack, x.X)
		case *syntax.FlagsArithm:
			f.unknown("flags of a subscript")
			stack = append(stack, x.X)
		case *syntax.Word:
			if x != nil {
				f.arithWord(x)
			}
		}
	}
}

// arithWord is a number, or a name whose value is an expression again, in
// which bash runs the command of a subscript: x='a[$(cmd)]'; ((x)).
func (f *finder) arithWord(w *syntax.Word) {
	text := f.single(w).Text
	if _, err := strconv.Atoi(text); err != nil && text != "@" && text != "*" {
		f.arithmetic = true
	}
	if subscript(text) {
		f.subscript = true
	}
}

// subscript says that a text has a command where a subscript may stand.
func subscript(text string) bool {
	_, after, ok := strings.Cut(text, "[")
	return ok && (strings.Contains(after, "$(") || strings.Contains(after, "`"))
}

func (f *finder) forgetNumber(x syntax.ArithmExpr) {
	if w, ok := x.(*syntax.Word); ok && w != nil {
		name := w.Lit()
		if name == "" && len(w.Parts) > 0 { // a[i] = 1
			if p, ok := w.Parts[0].(*syntax.ParamExp); ok {
				name = paramName(p)
			}
		}
		f.env.forget(name)
	}
}

func assigns(op syntax.BinAritOperator) bool {
	switch op {
	case syntax.Assgn, syntax.AddAssgn, syntax.SubAssgn, syntax.MulAssgn, syntax.QuoAssgn, syntax.RemAssgn,
		syntax.AndAssgn, syntax.OrAssgn, syntax.XorAssgn, syntax.ShlAssgn, syntax.ShrAssgn,
		syntax.AndBoolAssgn, syntax.OrBoolAssgn, syntax.XorBoolAssgn, syntax.PowAssgn:
		return true
	default:
		return false
	}
}
