package toolpolicy

import (
	"path"
	"slices"
	"strings"

	"agentprocess/internal/shell"
)

// A program that nobody here knows may start what its words spell: `tini git
// push`, `sops exec-env f 'git push'`, `x --then='git push'`. No list of such
// programs is ever complete. So where a rule's program stands among the words
// of another, what begins there is held against the rules as well: a rule that
// surely matches it maybe matches the whole.

// mostHidden is how many places of one line are looked at.
const mostHidden = 64

// hidden looks for commands among the words of the commands of a line.
type hidden struct {
	names map[string]bool // programs that rules are about
	found []*subject
	over  bool // there were more than mostHidden
	count int
}

// hide adds to a call what may be hidden in its commands.
func (p *Policy) hide(sc *scene) {
	h := &hidden{names: p.programs}
	for _, s := range sc.subjects {
		if s.cmd != nil && !plainProgram(s.cmd.Name) {
			h.in(s)
		}
	}
	sc.subjects = append(sc.subjects, h.found...)
	if h.over {
		sc.odd = append(sc.odd, "too many programs stand among its words")
	}
}

// in looks at the words behind a program.
func (h *hidden) in(s *subject) {
	words := s.cmd.Words
	for i := 1; i < len(words) && !h.over; i++ {
		text := words[i].Text
		if words[i].Known && h.names[path.Base(text)] && h.more() {
			c := s.cmd.Command
			c.Name, c.Words, c.Loose = path.Base(text), words[i:], nil
			for _, at := range s.cmd.Loose {
				if at > i {
					c.Loose = append(c.Loose, at-i)
				}
			}
			h.add(s, c)
		}
		if strings.ContainsAny(text, " \t\n") && !isProseName(words[i-1].Text) {
			h.line(s, text)
		}
	}
}

// line looks at a word that may be a line of shell, or have one behind "=".
func (h *hidden) line(s *subject, text string) {
	if name, value, ok := strings.Cut(text, "="); ok && !strings.ContainsAny(name, " \t\n") {
		if isProseName(name) {
			return
		}
		text = value
	}
	if !h.mentioned(text) || !h.more() {
		return
	}
	for _, c := range shell.Parse(text).Commands {
		if h.names[c.Name] && (c.Words[0].Text == c.Name || strings.HasPrefix(c.Words[0].Text, "/")) {
			h.add(s, c)
		}
	}
}

// more counts a place that is looked at.
func (h *hidden) more() bool {
	h.count++
	h.over = h.over || h.count > mostHidden
	return !h.over
}

// mentioned says whether a text holds the name of a program.
func (h *hidden) mentioned(text string) bool {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n;&|(){}`\"'$<>/\\", r) })
	return slices.ContainsFunc(words, func(w string) bool { return h.names[w] })
}

func (h *hidden) add(s *subject, c shell.Command) {
	if len(h.found) >= mostHidden {
		h.over = true
		return
	}
	found := &subject{tool: s.tool, mcp: s.mcp, cmd: &command{Command: c}, env: s.env, earlier: s.earlier, of: s}
	if changesFiles(c.Name) {
		found.targets = targetsOf(found.cmd)
		for i := range found.targets {
			found.targets[i].guess = true
		}
	}
	h.found = append(h.found, found)
}

// programsOf are the programs that rules are about by more than their name:
// one that is only named may be anything, such as a package to install.
func programsOf(rules []*active) map[string]bool {
	names := map[string]bool{}
	for _, a := range rules {
		for _, p := range a.commands {
			if !p.hides() {
				continue
			}
			if p.name.literal {
				names[path.Base(p.name.pattern)] = true
			}
			for _, w := range p.name.words {
				names[path.Base(w)] = true
			}
		}
	}
	for _, name := range fileChangers() {
		names[name] = true
	}
	return names
}

// hides says whether a command that a pattern is about may be told among the
// words of another.
func (p *commandPattern) hides() bool {
	return len(p.operands)+len(p.options) > 0 || p.from != nil
}

// fileChangers are the programs whose paths count where they are hidden.
func fileChangers() []string {
	return []string{"rm", "rmdir", "unlink", "shred", "mv", "cp", "ln", "tee", "dd", "truncate", "chmod", "cat"}
}

func changesFiles(name string) bool { return slices.Contains(fileChangers(), name) }

// isProseName says that the word behind an option is text for people, or a
// pattern for names.
func isProseName(name string) bool {
	switch name {
	case "-m", "-am", "--message", "--title", "--body", "--description", "--comment", "--notes", "--subject", "--author", "--trailer",
		"--grep", "--search", "--query", "-t", "-k", "-g", "--testNamePattern", "--test-name-pattern", "-run", "--filter", "--tests", "--name", "-H", "--header":
		return true
	}
	return false
}

// plainProgram says that a program starts nothing by its words, or that
// internal/shell knows which of them: for these they are data.
func plainProgram(name string) bool {
	switch name {
	case "", "echo", "printf", ":", "true", "false", "test", "[", "expr", "cd", "pushd", "popd", "export", "declare", "local", "readonly", "typeset",
		"alias", "unalias", "set", "unset", "read", "trap", "return", "exit", "let", "shift", "history", "complete",
		"grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "sed", "gsed", "awk", "gawk", "mawk", "jq", "yq", "tr", "cut", "seq",
		"find", "fd", "fdfind", "locate", "ls", "mkdir", "touch", "cat", "head", "tail", "less", "more", "wc", "diff",
		"git", "gh", "glab", "hub", "curl", "wget", "man", "info", "tldr", "which", "type", "whereis", "whatis", "apropos",
		"python", "python2", "python3", "perl", "ruby", "node", "php", "deno", "lua", "claude", "codex", "gemini", "opencode",
		"logger", "wall", "write", "say", "cowsay", "figlet", "notify-send", "mail":
		return true
	}
	return false
}
