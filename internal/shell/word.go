package shell

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// field is a word with what only this package needs to know of it.
type field struct {
	Word
	loose bool // not quoted and not Known: may be no word, or several
	code  bool // the output of a command, as in <(…)
}

func words(fields []field) []Word {
	list := make([]Word, len(fields))
	for i, fd := range fields {
		list[i] = fd.Word
	}
	return list
}

func known(texts ...string) []field {
	list := make([]field, len(texts))
	for i, t := range texts {
		list[i] = field{Word: Word{t, true}}
	}
	return list
}

// fieldSize is what a field costs beside its text.
const fieldSize = 32

// maker puts the parts of a word together to fields.
type maker struct {
	f     *finder
	done  []field
	text  strings.Builder
	open  bool // a field has begun
	bad   bool // something in it is not known
	loose bool
	code  bool
	whole bool // no splitting, no patterns: an assignment or a here-document
}

func (m *maker) add(text string, ok bool) {
	if m.f.grow(len(text)) {
		m.text.WriteString(text)
	}
	m.open = m.open || text != ""
	m.bad = m.bad || !ok
}

func (m *maker) end() {
	if (m.open || m.bad) && m.f.grow(fieldSize) {
		m.done = append(m.done, field{Word{m.text.String(), !m.bad && !m.f.over}, m.loose, m.code})
	}
	m.text.Reset()
	m.open, m.bad, m.loose, m.code = false, false, false, false
}

// all expands the arguments of a command.
func (f *finder) all(args []*syntax.Word) []field {
	var list []field
	for _, w := range args {
		if !f.step() {
			return append(list, field{loose: true})
		}
		list = append(list, f.fields(w)...)
	}
	return list
}

// fields expands one word as the shell does for the arguments of a command:
// braces, variables, splitting, patterns, quotes.
func (f *finder) fields(w *syntax.Word) []field {
	if f.lang == syntax.LangPOSIX {
		return f.plain(w)
	}
	variants, ok := braces(w)
	if !ok {
		f.unknown("braces with too many words")
		f.plain(w) // for the commands in it
		return []field{{loose: true}}
	}
	var list []field
	for _, v := range variants {
		if !f.step() {
			return append(list, field{loose: true})
		}
		list = append(list, f.plain(v)...)
	}
	return list
}

func (f *finder) plain(w *syntax.Word) []field {
	m := &maker{f: f}
	m.parts(w.Parts)
	m.end()
	return m.done
}

// single expands a word that stays one: the value of an assignment.
func (f *finder) single(w *syntax.Word) Word {
	if w == nil || !f.step() {
		return Word{Known: w == nil}
	}
	m := &maker{f: f, whole: true}
	m.parts(w.Parts)
	text := m.text.String()
	ok := !m.bad && !f.over
	if strings.Contains(text, ":~") { // PATH=a:~/b
		ok = false
	}
	return Word{text, ok}
}

// document expands a here-document. Between quoted delimiters it is literal.
func (f *finder) document(r *syntax.Redirect) Word {
	if r.Hdoc == nil || !f.step() {
		return Word{Known: r.Hdoc == nil}
	}
	literal := quoted(r.Word)
	m := &maker{f: f, whole: true}
	for _, p := range r.Hdoc.Parts {
		lit, ok := p.(*syntax.Lit)
		switch {
		case !ok:
			m.inQuotes(p)
		case literal:
			m.add(lit.Value, true)
		default:
			m.add(unescaped(lit.Value, "$`\\\n"), true)
		}
	}
	text := m.text.String()
	if r.Op == syntax.DashHdoc {
		text = strings.ReplaceAll("\n"+text, "\n\t", "\n")[1:]
		text = strings.TrimLeft(text, "\t")
	}
	return Word{text, !m.bad && !f.over}
}

// quoted says whether any part of the delimiter of a here-document is.
func quoted(w *syntax.Word) bool {
	for _, p := range w.Parts {
		lit, ok := p.(*syntax.Lit)
		if !ok || strings.Contains(lit.Value, `\`) {
			return true
		}
	}
	return false
}

func (m *maker) parts(parts []syntax.WordPart) {
	for i, p := range parts {
		m.part(p, i == 0)
	}
}

func (m *maker) part(p syntax.WordPart, first bool) {
	switch p := p.(type) {
	case *syntax.Lit:
		m.literal(p.Value, first)
	case *syntax.SglQuoted:
		m.single(p)
	case *syntax.DblQuoted:
		m.open = m.open || !onlyAll(p.Parts)
		for _, q := range p.Parts {
			m.inQuotes(q)
		}
	case *syntax.ParamExp:
		m.param(p, false)
	case *syntax.ProcSubst:
		m.f.process(p)
		m.add("", false)
		m.code = true
	case *syntax.ExtGlob:
		m.add("", false)
		if strings.ContainsAny(p.Pattern.Value, "$`") || m.f.zsh {
			m.f.unknown("pattern %q", p.Pattern.Value)
		}
	default:
		m.split(m.inside(m.f.value(p)))
	}
}

// inside is a value of which not all is known: what it begins with says
// something only where the word does.
func (m *maker) inside(w Word) Word {
	if start := m.text.Len() == 0 && !m.bad; !w.Known && !start {
		w.Text = strings.TrimLeft(w.Text, "~.")
	}
	return w
}

// onlyAll says that quotes hold "$@" alone, which may come to no word at all.
func onlyAll(parts []syntax.WordPart) bool {
	if len(parts) != 1 {
		return false
	}
	p, ok := parts[0].(*syntax.ParamExp)
	return ok && (paramName(p) == "@" || indexText(p.Index) == "@")
}

func (m *maker) single(p *syntax.SglQuoted) {
	m.open = true
	if !p.Dollar {
		m.add(p.Value, true)
		return
	}
	text, ok := decoded(p.Value)
	m.add(text, ok)
}

// literal adds text outside of quotes.
func (m *maker) literal(lit string, first bool) {
	text, glob := unquoted(lit)
	home := first && m.text.Len() == 0 && strings.HasPrefix(lit, "~")
	command := first && m.f.zsh && strings.HasPrefix(lit, "=")
	m.open = m.open || lit != ""
	m.add(text, !home && !command && (!glob || m.whole))
}

// inQuotes adds a part of a double-quoted word or a here-document.
func (m *maker) inQuotes(p syntax.WordPart) {
	switch p := p.(type) {
	case *syntax.Lit:
		m.add(unescaped(p.Value, "$`\"\\\n"), true)
	case *syntax.ParamExp:
		m.param(p, true)
	case *syntax.SglQuoted: // "${x:-'a'}"
		m.single(p)
	default:
		w := m.inside(m.f.value(p))
		m.add(w.Text, w.Known)
	}
}

// value is what a substitution comes to.
func (f *finder) value(p syntax.WordPart) Word {
	switch p := p.(type) {
	case *syntax.CmdSubst:
		return f.substitution(p.Stmts, "$()")
	case *syntax.ArithmExp:
		f.arith(p.X)
	case *syntax.ProcSubst:
		f.process(p)
	case *syntax.DblQuoted:
		m := &maker{f: f, whole: true}
		m.part(p, true)
		return Word{m.text.String(), !m.bad}
	default:
		f.unknown("part of a word")
	}
	return Word{}
}

// process is <(…) or >(…), which reads what is written to it.
func (f *finder) process(p *syntax.ProcSubst) {
	if p.Op != syntax.CmdOut {
		f.substitution(p.Stmts, "<()")
		return
	}
	stdin := f.stdin
	f.stdin = input{from: fromPipe}
	f.substitution(p.Stmts, ">()")
	f.stdin = stdin
}

// substitution finds the commands of $(…) and what they write.
func (f *finder) substitution(list []*syntax.Stmt, via string) Word {
	var out Word
	f.within(via, func() {
		f.apart(func() {
			f.output = Word{}
			f.env.errexit = false // bash does not hand set -e on
			f.stmts(list)
			if len(list) == 1 {
				out = f.output
			}
		})
	})
	if !out.Known {
		return Word{Text: out.Text} // where we are, see printsPlace
	}
	return Word{strings.TrimRight(out.Text, "\n"), true}
}

// split adds the outcome of an expansion outside of quotes.
func (m *maker) split(w Word) {
	_, ifs := m.f.env.names["IFS"]
	switch {
	case m.whole:
		m.add(w.Text, w.Known)
		return
	case !w.Known, ifs, m.f.zsh && strings.ContainsAny(w.Text, " \t\n"):
		m.add(w.Text, false)
		m.loose = true
		return
	}
	const blank = " \t\n"
	if strings.TrimLeft(w.Text, blank) != w.Text {
		m.end()
	}
	list := strings.Fields(w.Text)
	for i, t := range list {
		if i > 0 {
			m.end()
		}
		m.add(t, !isGlob(t))
	}
	if len(list) > 0 && strings.TrimRight(w.Text, blank) != w.Text {
		m.end()
	}
}

// list adds "$@" or "${a[@]}".
func (m *maker) list(items []Word, ok, quotes, star bool) {
	if _, ifs := m.f.env.names["IFS"]; ifs && star {
		ok = false
	}
	switch {
	case !ok:
		m.add("", false)
		m.loose = true
	case m.whole || quotes && star:
		for i, it := range items {
			if m.f.over {
				return
			}
			if i > 0 {
				m.add(" ", true)
			}
			m.add(it.Text, it.Known)
		}
	default:
		for i, it := range items {
			if m.f.over {
				return
			}
			if i > 0 {
				m.end()
			}
			if quotes {
				m.open = true
				m.add(it.Text, it.Known)
			} else {
				m.split(it)
			}
		}
	}
}

// mostOpen is how many braces one word may open: the time that it takes to
// split them grows with the square.
const mostOpen = 100

// braces expands {a,b} and {1..3}. ok is false if that makes too many words.
func braces(w *syntax.Word) ([]*syntax.Word, bool) {
	open := 0
	for _, p := range w.Parts {
		if lit, ok := p.(*syntax.Lit); ok {
			open += strings.Count(lit.Value, "{")
		}
	}
	if open > mostOpen {
		return nil, false
	}
	split := &syntax.Word{Parts: append([]syntax.WordPart(nil), w.Parts...)}
	if !syntax.SplitBraces(split) {
		return []*syntax.Word{w}, true
	}
	variants, ok := brace(split.Parts, 0)
	if !ok {
		return nil, false
	}
	list := make([]*syntax.Word, len(variants))
	for i, parts := range variants {
		list[i] = &syntax.Word{Parts: parts}
	}
	return list, true
}

func brace(parts []syntax.WordPart, depth int) ([][]syntax.WordPart, bool) {
	all := [][]syntax.WordPart{nil}
	if depth > maxNesting {
		return nil, false
	}
	for _, p := range parts {
		options := [][]syntax.WordPart{{p}}
		if b, isBrace := p.(*syntax.BraceExp); isBrace {
			var ok bool
			if options, ok = elements(b, depth); !ok {
				return nil, false
			}
		}
		if len(all)*len(options) > maxBraces {
			return nil, false
		}
		next := make([][]syntax.WordPart, 0, len(all)*len(options))
		for _, head := range all {
			for _, o := range options {
				next = append(next, append(slices.Clip(head), o...))
			}
		}
		all = next
	}
	return all, true
}

func elements(b *syntax.BraceExp, depth int) ([][]syntax.WordPart, bool) {
	if b.Sequence {
		return sequence(b)
	}
	var options [][]syntax.WordPart
	for _, e := range b.Elems {
		more, ok := brace(e.Parts, depth+1)
		if options = append(options, more...); !ok || len(options) > maxBraces {
			return nil, false
		}
	}
	return options, true
}

// sequence expands {1..9}, {a..e..2} and {01..10}.
func sequence(b *syntax.BraceExp) ([][]syntax.WordPart, bool) {
	from, to, by := b.Elems[0].Lit(), b.Elems[1].Lit(), 1
	if len(b.Elems) > 2 {
		by, _ = strconv.Atoi(b.Elems[2].Lit()) // the parser has seen that it is one
		by = max(by, -by, 1)
	}
	first, err := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	letters := err != nil || err2 != nil
	if letters {
		first, last = int(from[0]), int(to[0])
	}
	if last < first {
		by = -by
	}
	count := (last-first)/by + 1
	if count < 1 || count > maxBraces || max(len(from), len(to)) > 9 {
		return nil, false
	}
	padded := !letters && (leadingZero(from) || leadingZero(to))
	options := make([][]syntax.WordPart, count)
	for i := range options {
		text := strconv.Itoa(first + i*by)
		if letters {
			text = fmt.Sprintf(`\%c`, first+i*by)
		} else if padded {
			text = pad(text, max(len(from), len(to)))
		}
		options[i] = []syntax.WordPart{&syntax.Lit{Value: text}}
	}
	return options, true
}

func leadingZero(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return len(s) > 1 && s[0] == '0'
}

func pad(s string, width int) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	return sign + strings.Repeat("0", max(0, width-len(s)-len(sign))) + s
}
