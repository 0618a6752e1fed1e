package report

import (
	"fmt"
	"slices"
	"strings"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
)

// shownPaths and shownTargets are how many of each a summary names.
const (
	shownPaths   = 8
	shownTargets = 5
)

// summary is what stands at the end of a run.
func (l *Live) summary(o audit.Outcome) []string {
	r := o.Run
	took := r.Ended.Sub(r.Created)
	head := l.paint.Bold(term.Visible(r.Name)) + "  " + l.paint.Apply(outcomeStyle(o.Outcome), term.Visible(string(o.Outcome)))
	if t := duration(took); t != "" {
		head += l.paint.Dim(" · " + t)
	}
	lines := []string{head}
	field := func(name, text string) {
		if text != "" {
			lines = append(lines, l.field(name, text)...)
		}
	}
	field("why", o.Reason)
	field("branch", r.Branch+" · "+statWithCommits(r.Stat))
	if len(o.Flagged) > 0 {
		field("on host", "read these before you merge, they run outside the sandbox:")
		for _, line := range paths(o.Flagged) {
			lines = append(lines, l.field("", line)...)
		}
	}
	field("held", heldText(l.digest.Held, r.Name))
	field("denied", deniedText(l.digest, o.Denials))
	field("asked", askedText(l.digest.Asked))
	field("warned", warnedText(l.digest.Warned))
	field("used", costText(cost(r.Cost, l.digest.Cost)))
	for i, command := range Next(r) {
		name := ""
		if i == 0 {
			name = "next"
		}
		lines = append(lines, "  "+term.Pad(name, nameWidth, false)+"  "+l.paint.Cyan(command))
	}
	return lines
}

// field is a name and a text that may need several lines.
func (l *Live) field(name, text string) []string {
	const indent = 2 + nameWidth + 2
	lines := l.wrap(text, indent)
	for i := range lines {
		label := ""
		if i == 0 {
			label = name
		}
		lines[i] = "  " + l.paint.Dim(term.Pad(label, nameWidth, false)) + "  " + lines[i]
	}
	return lines
}

// cost prefers what the record of the run says.
func cost(recorded, seen sandbox.Cost) sandbox.Cost {
	if recorded == (sandbox.Cost{}) {
		return seen
	}
	return recorded
}

// paths are the first of many, and how many more there are.
func paths(all []string) []string {
	shown := slices.Clone(all[:min(len(all), shownPaths)])
	if more := len(all) - shownPaths; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return shown
}

// deniedText names what was refused. The recorded number wins over the events
// seen, which may be a part of them.
func deniedText(d *Digest, recorded int) string {
	total := max(d.Denied(), recorded)
	if total == 0 {
		return ""
	}
	text := targets(d.Denials, func(one Denial) string { return one.What })
	if text == "" {
		return fmt.Sprint(total)
	}
	return fmt.Sprintf("%d: %s", total, text)
}

// targets names the first of a list.
func targets(list []Denial, name func(Denial) string) string {
	var named []string
	for _, one := range list[:min(len(list), shownTargets)] {
		text := name(one)
		if one.Count > 1 {
			text += fmt.Sprintf(" ×%d", one.Count)
		}
		named = append(named, text)
	}
	text := strings.Join(named, ", ")
	if more := len(list) - shownTargets; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Next are the commands that make sense after a run. They are made of the
// name, which was validated, so that they can be typed as they stand.
func Next(r sandbox.Run) []string {
	if sandbox.ValidateName(r.Name) != nil {
		return nil
	}
	var held []string
	if r.Held > 0 {
		held = []string{"agent-process release " + r.Name}
	}
	if r.Stat.Commits == 0 {
		return append(held, "agent-process logs "+r.Name, "agent-process rm "+r.Name)
	}
	return append(held, "agent-process review "+r.Name, "agent-process merge "+r.Name, "agent-process show "+r.Name, "agent-process rm "+r.Name)
}

func outcomeStyle(o sandbox.Outcome) term.Style {
	switch o {
	case sandbox.OutcomeDone:
		return term.StyleGreen
	case sandbox.OutcomeNoChanges, sandbox.OutcomeStopped, sandbox.OutcomeHeld:
		return term.StyleYellow
	default:
		return term.StyleRed
	}
}
