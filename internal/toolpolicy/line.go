package toolpolicy

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"agentprocess/internal/shell"
)

// openLine takes a line of shell apart.
func openLine(call *subject, line string) scene {
	script := shell.Parse(line)
	sc := scene{shell: true, line: line}
	for _, why := range script.Unknown {
		switch language, isCode := strings.CutSuffix(why, " code"); {
		case isCode && isLanguage(language):
			if starterPattern().MatchString(line) {
				sc.code, sc.codeIn = line, language
			}
		case why == "file to sh", strings.HasPrefix(why, "file \""), why == "file of source is not known", why == "file of . is not known":
			// What is in files is the program's own.
		default:
			sc.odd = append(sc.odd, why)
		}
	}
	var earlier []*command
	for _, c := range script.Commands {
		s := &subject{tool: call.tool, mcp: call.mcp, cmd: &command{Command: c}, env: c.Env, earlier: earlier}
		s.targets = targetsOf(s.cmd)
		s.addURLs()
		sc.subjects = append(sc.subjects, s)
		earlier = append(earlier, s.cmd)
	}
	if len(sc.subjects) == 0 {
		sc.subjects = []*subject{call}
	}
	return sc
}

// isLanguage says whether the code of a program that internal/shell could not
// read is such that no rule for commands is about it. That of other shells and
// editors is not: it is just another way to write a command.
func isLanguage(name string) bool {
	return slices.Contains([]string{
		"python", "perl", "ruby", "node", "deno", "php", "awk", "crontab", "lua", "luajit", "julia", "groovy", "elixir", "osascript", "Rscript", "R", "ghc",
		"guile", "racket", "sbcl", "clojure", "clj", "tclsh", "scala", "kotlin", "swift", "raku", "janet", "ocaml", "erl", "octave", "irb", "jshell", "bb",
	}, name)
}

// starterPattern finds what starts programs in the languages there are.
var starterPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("(?i)system|subprocess|popen|spawn|exec|child_process|\\bqx\\b|%x|`|shell_|shell=|\\brun\\b|\\|\\s*getline|print[^\n]*\\|")
})

// mentions says whether code names the program and the words of a pattern.
func (p *wordPattern) mentions(code string) bool {
	if !p.name.in(code) {
		return false
	}
	for _, o := range p.operands {
		if !o.any() && !o.in(code) {
			return false
		}
	}
	for _, o := range p.options {
		if !strings.Contains(code, o.text) {
			return false
		}
	}
	return len(p.operands)+len(p.options) > 0
}

// in says whether one of the texts that a pattern stands for is a word of code.
func (g wordGlob) in(code string) bool {
	if g.literal {
		return isWordOf(code, g.pattern)
	}
	return slices.ContainsFunc(g.words, func(w string) bool { return isWordOf(code, w) })
}

// isWordOf says whether word stands in text with no letter or digit beside it.
func isWordOf(text, word string) bool {
	letter := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
	for at := 0; word != ""; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		at += i
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[at+len(word):])
		if !letter(before) && !letter(after) {
			return true
		}
		at += len(word)
	}
	return false
}

// addURLs adds the URLs among a command's words.
func (s *subject) addURLs() {
	c := s.cmd
	fetches := false
	switch c.Name {
	case "curl", "wget", "wget2", "aria2c", "http", "https", "xh", "lynx", "w3m":
		fetches = true
	case "git":
		if ops := c.operands(); len(ops) > 1 && ops[1].known && ops[0].text == "clone" {
			fetches = strings.Contains(ops[1].text, ":")
			if !fetches {
				return // a path
			}
			s.addURL(ops[1].text)
			return
		}
	}
	for i, w := range c.Words {
		switch {
		case i == 0:
		case w.Known && strings.Contains(w.Text, "://") && !strings.HasPrefix(w.Text, "-"):
			s.addURL(w.Text)
		case w.Known && strings.HasPrefix(w.Text, "--url="):
			s.addURL(strings.TrimPrefix(w.Text, "--url="))
		case !w.Known && fetches && !strings.HasPrefix(w.Text, "-"):
			s.oddURL = true
		}
	}
	if !fetches {
		return
	}
	for _, t := range c.operands() {
		if t.known && !strings.Contains(t.text, "://") && strings.ContainsAny(t.text, ".:") {
			if l, ok := parseLocation(t.text); ok {
				s.urls = append(s.urls, l)
			}
		}
	}
}
