package report

import (
	"fmt"
	"strings"

	"agentprocess/internal/audit"
	"agentprocess/internal/term"
)

// ownHook shows what a project's own hook did besides saying yes or no: the
// verdict on the call says that.
func (l *Live) ownHook(h audit.OwnHook) {
	name := term.Visible(h.Hook)
	room := term.Width(name) + 10
	switch {
	case h.Observed && (h.Decision != audit.Allow || h.Failure != ""):
		if l.watched[h.Hook] || len(l.watched) >= distinct {
			return // it has been said, and is in the record each time
		}
		l.watched[h.Hook] = true
		text := "only watches; it would have denied: " + h.Reason
		if h.Failure != "" {
			text = "only watches, and failed: " + h.Failure
		}
		l.begin(groupAct, l.paint.Yellow("! hook")+"  "+name+"  "+l.cut(term.Visible(firstLine(text)), room))
	case h.Observed:
	case len(h.Changed) > 0:
		shown := h.Changed[:min(len(h.Changed), shownTargets)]
		text := "changed " + strings.Join(shown, ", ")
		if more := len(h.Changed) - len(shown); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		l.begin(groupAct, "  ↳ hook  "+name+"  "+l.cut(term.Visible(text), room))
	case h.Modified:
		l.begin(groupAct, "  ↳ hook  "+name+"  "+l.cut("changed what the tool is given", room))
	}
}
