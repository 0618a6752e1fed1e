package shell

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// errDeep is what the parser reads where its recursion has gone too far.
var errDeep = errors.New("nested too deeply")

// guarded feeds a parser small pieces of text and looks at the stack each
// time: the parser recurses without a bound of its own, and a goroutine that
// runs out of stack takes the whole program with it.
type guarded struct {
	text  string
	stack []uintptr // as many frames as there may be
}

// frames is how many the parser may pile up: about ten for each level of
// nesting, and more levels than are looked at.
const frames = 40 * maxNesting

func (g *guarded) Read(p []byte) (int, error) {
	if g.text == "" {
		return 0, io.EOF
	}
	if runtime.Callers(0, g.stack) == len(g.stack) {
		return 0, errDeep
	}
	n := copy(p[:min(len(p), 256)], g.text)
	g.text = g.text[n:]
	return n, nil
}

// statements parses a text. After an error it has what stands before it.
func statements(text string, lang syntax.LangVariant) ([]*syntax.Stmt, error) {
	var ours [100 * maxNesting]uintptr
	source := &guarded{text, make([]uintptr, runtime.Callers(0, ours[:])+frames)}
	var list []*syntax.Stmt
	for s, err := range syntax.NewParser(syntax.Variant(lang)).StmtsSeq(source) {
		if err != nil {
			return list, err
		}
		list = append(list, s)
	}
	return list, nil
}

// line looks at a text in the language of the shell that is to read it.
func (f *finder) line(text string) {
	if strings.TrimSpace(text) == "" || f.over {
		return
	}
	if f.parsed += len(text); len(text) > maxInput || f.parsed > maxParsed {
		f.bound("text too long")
		return
	}
	if strings.ContainsRune(text, 0) {
		f.unknown("text with a NUL byte") // bash leaves it out, others stop there
		text = strings.ReplaceAll(text, "\x00", "")
	}
	if strings.ContainsRune(text, '\r') {
		f.unknown("text with a carriage return") // a blank to the parser, a letter to shells
	}
	lang := f.lang
	if lang == 0 {
		lang = syntax.LangBash
	}
	list, err := statements(text, lang)
	if err == nil {
		f.stmts(list)
		return
	}
	f.unknown("%s", parserWords(err))
	before := f.env.here()
	f.stmts(list)
	if lang == syntax.LangPOSIX {
		return
	}
	// ((a) | b) and the like: bash tries again, and reads it as plain sh does.
	if plain, err := statements(text, syntax.LangPOSIX); err == nil || len(plain) > len(list) {
		f.env.merge(f.env.back(before))
		f.stmts(plain)
		return
	}
	f.pieces(rest(text, list))
}

// rest is what a text has after its statements.
func rest(text string, list []*syntax.Stmt) string {
	if len(list) == 0 {
		return text
	}
	return text[min(len(text), int(list[len(list)-1].End().Offset())):]
}

// mostPieces is how many pieces of a broken text are looked at.
const mostPieces = 100

// pieces looks for commands in a text that does not parse: it is unknown
// anyway, and what is found makes for a better answer.
func (f *finder) pieces(text string) {
	cut := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(";\n&|(){}`", r) })
	f.apart(func() {
		f.env.forgetAll()
		for _, piece := range cut[:min(len(cut), mostPieces)] {
			for piece = strings.TrimSpace(piece); ; {
				first, after, _ := strings.Cut(piece, " ")
				if !syntax.IsKeyword(first) || after == "" {
					break
				}
				piece = strings.TrimSpace(after)
			}
			list, err := statements(piece, syntax.LangBash)
			if e, ok := errors.AsType[syntax.ParseError](err); ok && len(list) == 0 && int(e.Pos.Offset()) < len(piece) {
				list, _ = statements(piece[:e.Pos.Offset()], syntax.LangBash) // as far as it went
			}
			f.stmts(list)
		}
	})
}

// parserWords is the parser's error without the name of a file it has not.
func parserWords(err error) string {
	return strings.TrimPrefix(err.Error(), ":")
}

// shells are the languages in which a shell of that name may read a text.
// What is called sh is dash on one machine and bash on the next.
func shells(name string) []syntax.LangVariant {
	switch name {
	case "bash", "rbash":
		return []syntax.LangVariant{syntax.LangBash}
	case "sh", "dash", "ash", "posh":
		return []syntax.LangVariant{syntax.LangBash, syntax.LangPOSIX}
	case "ksh", "mksh", "lksh", "ksh93", "oksh", "pdksh":
		return []syntax.LangVariant{syntax.LangBash, syntax.LangMirBSDKorn}
	case "zsh":
		return []syntax.LangVariant{syntax.LangBash, syntax.LangZsh}
	}
	return nil
}

// read looks at a text as the shell called name would: if it may be either of
// two languages, the commands of both are found, and it is understood if it is
// a script in one of them.
func (f *finder) read(text, name string) {
	langs := shells(name)
	start := f.env.here()
	oldLang, oldZsh := f.lang, f.zsh
	defer func() { f.lang, f.zsh = oldLang, oldZsh }()
	if f.parsed += len(langs) * len(text); f.parsed > maxParsed {
		f.bound("text too long")
		return
	}
	good := slices.DeleteFunc(slices.Clone(langs), func(l syntax.LangVariant) bool {
		_, err := statements(text, l)
		return err != nil && len(text) <= maxInput
	})
	if len(good) == 0 {
		good = langs[:1]
	}
	for i, lang := range good {
		f.lang, f.zsh = lang, name == "zsh"
		if i == 0 {
			f.line(text)
			continue
		}
		dirs, failed := f.env.dirs, f.env.failed
		ends := f.env.back(start)
		f.line(text)
		f.env.merge(ends)
		f.env.dirs, f.env.failed = anyDir(f.env.dirs, dirs), anyDir(f.env.failed, failed)
	}
}
