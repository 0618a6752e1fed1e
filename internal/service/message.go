package service

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"agentprocess/internal/workspace"
)

// The bounds of a commit message that we make.
const (
	longestSubject = 72 // what git's own tools show of it
	longestBody    = 4 << 10
)

// commitMessage makes the message of the commits that we make: the goal.
func commitMessage(name, goal, coAuthor string) workspace.Message {
	first, rest, _ := strings.Cut(strings.TrimSpace(goal), "\n")
	m := workspace.Message{Subject: strings.TrimSpace(first), Body: strings.TrimSpace(rest), CoAuthor: coAuthor}
	if m.Subject == "" {
		m.Subject = "Work of " + name
	}
	if runes := []rune(m.Subject); len(runes) > longestSubject {
		m.Body = strings.TrimSpace(goal)
		m.Subject = string(runes[:longestSubject-1]) + "…"
	}
	return m
}

// summaryMessage is commitMessage by what the agent says that it did; where that
// has no sentence which can stand as a subject, the goal is it.
func summaryMessage(name, goal, coAuthor, said string) workspace.Message {
	m := commitMessage(name, goal, coAuthor)
	text := plain(said)
	if text == "" {
		return m
	}
	subject := sentence(text)
	if subject != "" {
		m.Subject, m.Body = subject, ""
	}
	if strings.TrimRight(text, ".!") != m.Subject {
		m.Body = strings.TrimSpace(m.Body + "\n\n" + text)
	}
	return m
}

// plain is text without what is no text, and bounded.
func plain(said string) string {
	text := strings.Map(func(r rune) rune {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError) {
			return -1
		}
		return r
	}, strings.ReplaceAll(said, "\t", "    "))
	cut := false
	for len(text) > longestBody {
		_, size := utf8.DecodeLastRuneInString(text[:longestBody])
		text, cut = text[:longestBody-size], true
	}
	if text = strings.TrimSpace(text); cut {
		text += " …"
	}
	return text
}

// sentence is the first of the first sentences of a text that says enough, and
// fits a subject; empty when none does.
func sentence(text string) string {
	tried := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.ReplaceAll(strings.TrimLeft(line, "#>*- \t"), "**", ""))
		for line != "" {
			var first string
			first, line = cutSentence(line)
			if n := utf8.RuneCountInString(first); n <= longestSubject && len(strings.Fields(first)) >= 3 {
				return first
			}
			if tried++; tried == 3 {
				return ""
			}
		}
	}
	return ""
}

// cutSentence takes the first sentence off a line.
func cutSentence(line string) (first, rest string) {
	for i, r := range line {
		if end := i + 1; strings.ContainsRune(".!?:", r) && (end == len(line) || line[end] == ' ') {
			return strings.TrimSpace(line[:i]), strings.TrimSpace(line[end:])
		}
	}
	return strings.TrimSpace(line), ""
}
