package cli

import (
	"fmt"
	"os/user"
	"strings"

	"agentprocess/internal/approval"
	"agentprocess/internal/term"
)

// maxReason bounds the reason of an answer, in bytes.
const maxReason = 1000

// ruleText is why a question is asked.
func ruleText(q approval.Question) string {
	if q.Kind == approval.KindEgress {
		return q.Reason
	}
	rule := "rule " + q.Rule
	if q.Source != "" {
		rule += ", " + q.Source
	}
	if q.Reason == "" {
		return rule
	}
	return q.Reason + " (" + rule + ")"
}

// detailLines are what a question says beyond its subject.
func detailLines(q approval.Question) []string {
	detail := strings.TrimRight(q.Detail, "\n")
	if detail == "" || strings.Contains(q.Subject, detail) {
		return nil
	}
	return strings.Split(term.VisibleLines(detail), "\n")
}

// wrapped makes text visible and sets it for a screen, whole.
func wrapped(s *term.Screen, text string, indent int) []string {
	text = term.Visible(text)
	if !s.TTY {
		return []string{text}
	}
	return term.Wrap(text, s.Columns()-indent)
}

// deniedBy is what the model reads when a person gives no reason.
func deniedBy(who string) string {
	return fmt.Sprintf("denied by %s, a person, who gave no reason", who)
}

// person names who answers, as the machine knows them: environment variables
// are for anybody to set.
func person() string {
	who, err := user.Current()
	if err != nil || who.Username == "" {
		return "person"
	}
	return "person " + who.Username
}
