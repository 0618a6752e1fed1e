package toolpolicy

import (
	"strings"

	"agentprocess/internal/shell"
)

// openLine takes a line of shell apart.
func openLine(call *subject, line string) scene {
	script := shell.Parse(line)
	sc := scene{}
	for _, why := range script.Unknown {
		if !ordinary(why) {
			sc.odd = append(sc.odd, why)
		}
	}
	var earlier []*command
	for _, c := range script.Commands {
		s := &subject{tool: call.tool, mcp: call.mcp, cmd: &command{Command: c}, earlier: earlier}
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

// lead is what a word that is not known surely begins with: only of a home
// directory that can be told.
func lead(w shell.Word) string {
	if !w.Known && strings.HasPrefix(w.Text, "~") {
		return w.Text
	}
	return ""
}

// ordinary says whether a reason of the shell's is one that rules for commands
// do not follow: code of another language.
func ordinary(why string) bool { return false }
