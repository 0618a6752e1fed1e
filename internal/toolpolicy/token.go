package toolpolicy

import (
	"slices"
	"strings"

	"agentprocess/internal/shell"
)

// command is a command of a line, and what its program makes of its words.
type command struct {
	shell.Command
	read bool
	toks []token
}

// token is a word of a command as its program reads it.
type token struct {
	text, fold string
	known      bool
	loose      bool // may be no word, or several
	option     bool
	name       string // "--long" or "-x" of an option, "-xyz" of several
	letters    string // the options of one dash and one letter in it
	takes      match  // the next word as its value
	value      string
	hasValue   match // yes: known; maybe: there is one, or could be
	outer      bool  // stands before the first operand
	// free is a word that is not known and could be an option: it is no value
	// of one, and not behind "--".
	free bool
}

// allKnown says that every word is exactly known.
func (c *command) allKnown() bool {
	for _, w := range c.Words {
		if !w.Known {
			return false
		}
	}
	return true
}

// tokens reads the words behind the program's name, "--" left out.
func (c *command) tokens() []token {
	if c.read || len(c.Words) == 0 {
		return c.toks
	}
	c.read = true
	g := grammarOf(c.Name, "")
	ended, subcommand, taken := false, false, no
	list := c.Words[1:]
	for i, w := range list {
		if w.Known && w.Text == "--" && !ended && taken != yes {
			// What follows in filter-branch are the options of rev-list.
			ended = len(c.toks) == 0 || c.toks[0].text != "filter-branch"
			continue
		}
		t := token{text: w.Text, known: w.Known, free: !w.Known && !ended && taken != yes}
		t.outer = !subcommand
		t.loose = slices.Contains(c.Loose, i+1)
		if !ended && taken != yes && isOption(w, t.loose) {
			t.readOption(g, w)
			t.readValue(list[i+1:])
			taken = t.takes
		} else {
			t.fold = t.text
			if c.Name == "git" { // its subcommands' and configuration's words
				t.fold = strings.ToLower(t.text)
			}
			if taken != yes && !subcommand {
				if subcommand = true; c.Name == "git" {
					g = gitGrammar(t.text)
				}
			}
			taken = no
		}
		c.toks = append(c.toks, t)
	}
	return c.toks
}

// isOption says that a word is an option, as far as it is known: the value of
// --name=value need not be.
func isOption(w shell.Word, loose bool) bool {
	if w.Known {
		return len(w.Text) > 1 && w.Text[0] == '-'
	}
	return !loose && strings.HasPrefix(w.Text, "--") && strings.Contains(w.Text, "=")
}

func (t *token) readOption(g grammar, w shell.Word) {
	t.option, t.free = true, false
	name, value, attached := strings.Cut(w.Text, "=")
	t.name = name
	if attached {
		t.value, t.hasValue = value, yes
		if !w.Known {
			t.hasValue = maybe
		}
	}
	if strings.HasPrefix(name, "--") || g.single {
		t.takes = g.takes(name)
		if attached {
			t.takes = no
		}
		return
	}
	t.readLetters(g, w.Text)
}

// readLetters reads "-abc": up to the first that takes what is behind it.
func (t *token) readLetters(g grammar, text string) {
	if takes := g.takes(text); takes != maybe { // known as a whole, such as -ws
		t.letters, t.takes = text[1:], takes
		return
	}
	for i := 1; i < len(text); i++ {
		t.letters = text[1 : i+1]
		if t.takes = g.takes("-" + text[i:i+1]); t.takes != yes {
			continue
		}
		if i+1 < len(text) {
			t.value, t.hasValue, t.takes = text[i+1:], yes, no
		}
		return
	}
	if strings.Contains(text, "=") {
		t.takes = no
	}
}

// readValue takes the next word as the option's value when it could be.
func (t *token) readValue(rest []shell.Word) {
	if t.takes == no || len(rest) == 0 || t.hasValue != no {
		return
	}
	t.value, t.hasValue = rest[0].Text, maybe
	if rest[0].Known {
		t.hasValue = yes
	}
}

// hasOption says whether the command has an option that o is about.
func (c *command) hasOption(o option) match {
	sure, missing := no, o.letters
	for _, t := range c.tokens() {
		switch {
		case o.outer && !t.outer:
		case t.free:
			if o.could(t) {
				sure = max(sure, maybe)
			}
		case !t.option:
		case o.long != "":
			if o.isLong(t.name) {
				sure = max(sure, o.hasItsValue(t))
			}
		case t.name == o.text || t.name == "-"+o.letters:
			sure = max(sure, o.hasItsValue(t))
		case o.hasValue:
			if strings.HasSuffix(t.letters, o.letters) {
				sure = max(sure, o.hasItsValue(t))
			}
		default:
			for _, l := range t.letters {
				missing = strings.ReplaceAll(missing, string(l), "")
			}
		}
	}
	if o.letters != "" && missing == "" {
		return yes
	}
	return sure
}

// minAbbreviation is how much of a long option must be there for it to count:
// programs take what is left of "--no-verify" as long as it is not ambiguous.
const minAbbreviation = len("--no-")

func (o option) isLong(name string) bool {
	if o.glob {
		return glob(o.long).matches(name)
	}
	return name == o.long || len(name) >= minAbbreviation && strings.HasPrefix(o.long, name)
}

// could says whether a word of which only w.text is known could be the option.
func (o option) could(w token) bool {
	switch {
	case w.loose || w.text == "" || o.glob || o.hasValue:
		return true
	case o.long != "":
		return holds(o.long, w.text)
	}
	return strings.ContainsAny(w.text, "-"+o.letters)
}

func (o option) hasItsValue(t token) match {
	switch {
	case !o.hasValue:
		return yes
	case t.hasValue == maybe && (o.value.any() || !strings.Contains(o.value.pattern, "=")):
		return maybe
	case t.hasValue == maybe:
		// user.name="$X" is not core.hooksPath=*: compare the names.
		key, _, _ := strings.Cut(o.value.pattern, "=")
		name, _, ok := strings.Cut(strings.ToLower(t.value), "=")
		if w, err := parseWord(key); ok && err == nil && !w.matches(name) {
			return no
		}
		return maybe
	case t.hasValue == yes && o.value.matches(strings.ToLower(t.value)):
		return yes
	}
	return no
}

// operands are the words that could be operands, those that could be an
// option's value included.
func (c *command) operands() (list []token) {
	toks := c.tokens()
	for i, t := range toks {
		if !t.option && (i == 0 || !toks[i-1].option || toks[i-1].takes != yes) {
			list = append(list, t)
		}
	}
	return list
}

// valueOf gives the value of the first option of one of these names.
func (c *command) valueOf(names ...string) (token, bool) {
	for _, t := range c.tokens() {
		for _, name := range names {
			if t.option && t.hasValue != no && (t.name == name || len(name) == 2 && strings.HasSuffix("-"+t.letters, name[1:]) && t.letters != "") {
				return token{text: t.value, known: t.hasValue == yes}, true
			}
		}
	}
	return token{}, false
}
