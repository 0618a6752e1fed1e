package report

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
)

// typableID is an id that may be offered for typing.
var typableID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^q-[0-9a-z]{1,16}$`) })

// AnswerCommands are what answers a question, to be typed as they stand.
func AnswerCommands(id string) []string {
	if !typableID().MatchString(id) {
		return nil
	}
	return []string{"agent-process policy answer " + id + " allow", "agent-process policy answer " + id + ` deny "REASON"`}
}

// question shows what a person is asked, and how to answer it from anywhere.
func (l *Live) question(q audit.Question) []string {
	subject := term.Visible(inTree(firstLine(q.Subject), l.tree))
	head := l.paint.Yellow("? asks") + "  " + l.paint.Bold(l.cut(subject, 8))
	lines := []string{head, "  " + l.cut(term.Visible(why(q.Reason, q.Rule)), 2)}
	if q.Unattended {
		lines = append(lines, "  "+l.cut("nobody is there: denied; a yes lets the next try pass", 2))
	}
	if commands := AnswerCommands(q.ID); len(commands) > 0 {
		lines = append(lines, "  "+l.paint.Cyan(l.cut(commands[0], 2)))
	}
	return lines
}

// why is a reason and the rule that gave it.
func why(reason, rule string) string {
	switch {
	case reason == "":
		return "rule " + rule
	case rule == "":
		return reason
	}
	return reason + " (" + rule + ")"
}

// verdict shows what was refused, warned of or answered.
func (l *Live) verdict(v audit.Verdict, fresh bool) {
	switch {
	case v.Rule == audit.ProofRule || v.Rule == audit.MessageRule:
	case v.Decision == audit.Deny && fresh:
		l.denied()
	case v.Decision == audit.Deny:
		l.print()
	case v.Action == audit.ActionAsk:
		l.begin(groupAct, l.answered(v)...)
	case v.Action == audit.ActionWarn && fresh:
		l.warned()
	}
}

// answered shows the yes to a question; a no is a denial.
func (l *Live) answered(v audit.Verdict) []string {
	what, by := term.Visible(verdictTarget(v)), "asked, and allowed"
	if v.By != "" {
		by = "by " + term.Visible(v.By)
	}
	if v.Rule != "" {
		by += " (" + term.Visible(v.Rule) + ")"
	}
	return []string{l.paint.Green("✓ allowed") + "  " + what + "  " + l.cut(by, term.Width(what)+13)}
}

// warned shows the newest entry of the digest's warnings. As many as that of
// denials are shown; further ones are in the summary and the record.
func (l *Live) warned() {
	n := len(l.digest.Warned)
	if n > shownDenials {
		l.print()
		return
	}
	d := l.digest.Warned[n-1]
	what := term.Visible(d.What)
	detail := term.Visible(why(d.Reason, d.Rule))
	l.begin(groupAct, l.paint.Yellow("! warned")+"  "+what+"  "+l.cut(detail, term.Width(what)+12))
}

// held shows a commit that was not let in.
func (l *Live) held(h audit.Held) []string {
	head := short(h.ID) + "  "
	if h.Kind != "" {
		head = ""
	}
	lines := []string{l.paint.Red("✗ held") + "  " + head + l.cut(term.Visible(h.Subject), 8+term.Width(head))}
	return append(lines, "  "+l.cut(term.Visible(heldWhy(h)), 2))
}

// heldWhy says which paths keep a commit out.
func heldWhy(h audit.Held) string {
	reason := h.Reason
	if reason == "" {
		reason = "outside what it may change"
	}
	shown := h.Paths[:min(len(h.Paths), shownTargets)]
	if len(shown) == 0 || h.Kind != "" {
		return reason
	}
	text := reason + ": " + strings.Join(shown, ", ")
	if more := h.More + len(h.Paths) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// heldText is what a summary says of held commits.
func heldText(all []audit.Held, name string) string {
	if len(all) == 0 {
		return ""
	}
	files := 0
	for _, one := range all {
		if one.Kind != "" {
			files++
		}
	}
	var parts []string
	if commits := len(all) - files; commits > 0 {
		parts = append(parts, plural(commits, "commit"))
	}
	if files > 0 {
		parts = append(parts, plural(files, "file"))
	}
	text := strings.Join(parts, " and ") + " kept out, "
	if all[0].Kind != "" {
		text += all[0].Subject + " "
	}
	text += heldWhy(all[0])
	if sandbox.ValidateName(name) == nil {
		text += "; agent-process show " + name
	}
	return text
}

// askedText counts the answers of questions.
func askedText(all []Asked) string {
	if len(all) == 0 {
		return ""
	}
	allowed, denied := 0, 0
	for _, one := range all {
		switch one.Decision {
		case audit.Allow:
			allowed++
		case audit.Deny:
			denied++
		}
	}
	text := fmt.Sprintf("%d: %d allowed, %d denied", len(all), allowed, denied)
	if open := len(all) - allowed - denied; open > 0 {
		text += fmt.Sprintf(", %d without an answer", open)
	}
	return text
}

// warnedText names what was warned of, with the rules.
func warnedText(all []Denial) string {
	return targets(all, func(one Denial) string { return one.What + " (" + one.Rule + ")" })
}

func (p *page) asked(all []Asked) {
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {}, {Shrink: true}, {}}}
	for _, one := range all {
		word, style := "no answer", term.StyleYellow
		switch one.Decision {
		case audit.Allow:
			word, style = "allowed", term.StyleGreen
		case audit.Deny:
			word, style = "denied", term.StyleRed
		}
		by := one.Rule
		if one.By != "" {
			by += ", by " + one.By
		}
		t.Add(term.Text(one.ID), term.Cell{Text: word, Style: style}, term.Text(one.Subject), term.Text(by))
	}
	p.section("asked", len(all), t)
}

func (p *page) held(all []audit.Held) {
	t := term.Table{Indent: "  ", Columns: []term.Column{{}, {Shrink: true}, {Shrink: true}}}
	for _, one := range all {
		t.Add(term.Text(short(one.ID)), term.Text(one.Subject), term.Cell{Text: heldWhy(one), Style: term.StyleRed})
	}
	p.section("held", len(all), t)
}
