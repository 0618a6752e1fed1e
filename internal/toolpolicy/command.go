package toolpolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// match is how sure it is that a rule matches.
type match uint8

const (
	no match = iota
	maybe
	yes
)

// commandPattern is a pattern for commands: "git push --force*", or two of
// them with "|" between, "curl | sh", which matches the last command when one
// of the line before it matches the first.
type commandPattern struct {
	from *wordPattern
	wordPattern
}

// wordPattern is a pattern for the words of one command.
type wordPattern struct {
	words []wordGlob // all words in their order, for rules that allow
	name  wordGlob
	// path is set when the pattern names the program's file, not its name.
	path     bool
	operands []operand
	options  []option
}

// operand is a pattern for a word that is no option.
type operand struct {
	wordGlob
	far bool // any operands may come before it
}

// option is a pattern for an option: "--force", "--force*", "-rf" (all of the
// letters), "-c=core.*" (with that value).
type option struct {
	text     string
	long     string // with its dashes; may be a glob
	glob     bool
	letters  string
	value    wordGlob
	hasValue bool
	outer    bool // must stand before the subcommand
}

// wordGlob is a glob for a word, in which * matches "/" too.
type wordGlob struct {
	pattern string
	literal bool
	words   []string // of "{a,b}": all that match
}

// flat is s without the separator that doublestar knows.
func flat(s string) string { return strings.ReplaceAll(s, "/", "\x00") }

func parseWord(s string) (wordGlob, error) {
	g := wordGlob{pattern: flat(s), literal: !strings.ContainsAny(s, `*?[{\`)}
	if err := checkGlob(s); err != nil {
		return g, err
	}
	if g.literal {
		g.pattern = s
	}
	if inner := strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}"); len(inner) == len(s)-2 && !strings.ContainsAny(inner, `*?[{}\`) {
		g.words = strings.Split(inner, ",")
	}
	return g, nil
}

func (g wordGlob) matches(s string) bool {
	switch {
	case g.literal:
		return g.pattern == s
	case g.words != nil:
		return slices.Contains(g.words, s)
	case g.any():
		return true
	}
	ok, err := doublestar.Match(g.pattern, flat(s))
	return err == nil && ok
}

// lower is for words that are compared in lower case.
func (g wordGlob) lower() wordGlob {
	g.pattern = strings.ToLower(g.pattern)
	words := make([]string, len(g.words))
	for i, w := range g.words {
		words[i] = strings.ToLower(w)
	}
	if g.words != nil {
		g.words = words
	}
	return g
}

func (g wordGlob) any() bool { return g.pattern == "*" || g.pattern == "**" }

// parseEnv reads NAME=VALUE, where both may have wildcards; a NAME alone means
// any value.
func parseEnv(s string) (glob, error) {
	if !strings.Contains(s, "=") {
		s += "=*"
	}
	return parseGlob(flat(s))
}

// parseCommand reads a pattern for commands.
func parseCommand(s string) (p commandPattern, err error) {
	from, last, piped := strings.Cut(s, " | ")
	if !piped {
		last = from
	}
	if strings.Contains(last, " | ") {
		return p, fmt.Errorf("%q: only two commands can be piped", s)
	}
	if p.wordPattern, err = parseWords(last); err != nil || !piped {
		return p, err
	}
	w, err := parseWords(from)
	p.from = &w
	return p, err
}

func parseWords(s string) (p wordPattern, err error) {
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return p, errors.New("names no program")
	}
	if strings.HasPrefix(fields[0], "-") {
		return p, fmt.Errorf("%q begins with an option, not with a program", s)
	}
	git := fields[0] == "git"
	far := false
	for i, f := range fields {
		w, err := parseWord(f)
		if err != nil {
			return p, err
		}
		p.words = append(p.words, w)
		switch {
		case i == 0:
			p.name, p.path = w, strings.Contains(f, "/")
		case f == "**":
			far = true
		case len(f) > 1 && f[0] == '-':
			o, err := parseOption(f)
			if err != nil {
				return p, err
			}
			o.outer = git && len(p.operands) == 0
			p.options = append(p.options, o)
		default:
			if git { // see words.operand
				w = w.lower()
			}
			p.operands = append(p.operands, operand{w, far})
			far = false
		}
	}
	return p, nil
}

func parseOption(s string) (o option, err error) {
	o.text = s
	name, value, hasValue := strings.Cut(s, "=")
	if hasValue {
		o.hasValue = true
		if o.value, err = parseWord(strings.ToLower(value)); err != nil {
			return o, err
		}
	}
	o.glob = strings.ContainsAny(name, `*?[{\`)
	if err = checkGlob(name); err != nil {
		return o, err
	}
	if strings.HasPrefix(name, "--") || o.glob {
		o.long = name
		return o, nil
	}
	o.letters = name[1:]
	return o, nil
}

// match says whether c is a command that a rule is about which forbids:
// options count wherever they stand, operands in their order, and more of
// both may follow. What is not known may be anything.
func (p *wordPattern) match(c *command) match {
	if len(c.Words) == 0 {
		return no // a redirection
	}
	if c.Name == "" {
		return maybe // the name could be anything, and bring words of its own
	}
	if p.path {
		if !p.name.matches(c.Words[0].Text) {
			return no
		}
	} else if !p.name.matches(c.Name) {
		return no
	}
	sure := p.matchOperands(c.tokens())
	for i := 0; i < len(p.options) && sure != no; i++ {
		sure = min(sure, c.hasOption(p.options[i]))
	}
	return sure
}

// matchOperands walks over the words once for each operand of the pattern;
// at[i] is how sure it is that the next operand is looked for from word i on.
func (p *wordPattern) matchOperands(words []token) match {
	at := make([]match, len(words)+2)
	at[0] = yes
	for _, o := range p.operands {
		next := make([]match, len(words)+2)
		for i, w := range words {
			if at[i] == no {
				continue
			}
			if w.option {
				if w.takes != yes {
					at[i+1] = max(at[i+1], at[i])
				}
				if w.takes != no {
					at[i+2] = max(at[i+2], at[i])
				}
				continue
			}
			hit, splits := o.match(w)
			if splits {
				return maybe
			}
			next[i+1] = max(next[i+1], min(at[i], hit))
			if o.far {
				at[i+1] = max(at[i+1], at[i])
			}
		}
		at = next
	}
	sure := no
	for _, m := range at {
		sure = max(sure, m)
	}
	return sure
}

// match says whether a word is the operand; splits when the word may be
// several, so that nothing can be said of those after it.
func (o operand) match(w token) (hit match, splits bool) {
	switch {
	case w.known && (o.matches(w.text) || o.matches(w.fold)):
		return yes, false
	case w.known || !o.could(w):
		return no, false
	case o.any():
		return yes, false
	}
	return maybe, w.loose
}

// could says whether a word of which only w.text is known could match.
func (g wordGlob) could(w token) bool {
	if w.loose || w.text == "" {
		return true
	}
	switch {
	case g.literal:
		return holds(g.pattern, w.text) || holds(g.pattern, w.fold)
	case g.words != nil:
		return slices.ContainsFunc(g.words, func(s string) bool { return holds(s, w.text) || holds(s, w.fold) })
	}
	return true
}

// holds says whether s has the letters of parts in their order.
func holds(s, parts string) bool {
	for _, r := range parts {
		i := strings.IndexRune(s, r)
		if i < 0 {
			return false
		}
		s = s[i:]
		_, n := utf8.DecodeRuneInString(s)
		s = s[n:]
	}
	return true
}

// matchExact says whether c is a command that a rule is about which allows:
// every word is known and is what the pattern says, in its order.
func (p *wordPattern) matchExact(c *command) bool {
	for i, g := range p.words {
		rest := i > 0 && i == len(p.words)-1 && g.pattern == "**"
		if rest {
			return c.allKnown()
		}
		if i >= len(c.Words) || !c.Words[i].Known || !g.matches(c.Words[i].Text) {
			return false
		}
	}
	return len(c.Words) == len(p.words)
}
