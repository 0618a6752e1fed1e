package patch

import (
	"fmt"
	"strings"

	"agentprocess/internal/term"
)

// Row is one row of a screen.
type Row struct {
	Text string // with colours
	// Line is the number of the line in the file as it is now, or, for one that
	// went, as it was; 0 is none.
	Line int
	Gone bool   // it went
	Code string // the whole line
}

// Rows shows a file in rows of at most a width. What does not fit goes on below.
func Rows(paint term.Paint, width int, f File, style Style) []Row {
	w := &writer{paint: paint, style: style, lang: languageOf(f.Path)}
	var rows []Row
	for _, h := range f.Hunks {
		head := term.Truncate(fmt.Sprintf("@@ %d → %d  %s", h.Old, h.New, term.Visible(h.Title)), width)
		rows = append(rows, Row{Text: w.paint.Cyan(head)})
		rows = w.rows(rows, h, width)
	}
	return rows
}

// rows are those of a hunk.
func (w *writer) rows(rows []Row, h Hunk, width int) []Row {
	old, now := h.Old, h.New
	openOld, openNow := false, false // block comments
	marks := w.marks(h)
	for i, l := range h.Lines {
		sign, open, number, gone := " ", &openNow, now, false
		switch l.Kind {
		case "-":
			sign, open, number, gone = w.paint.Red("-"), &openOld, old, true
			old++
		case "+":
			sign = w.paint.Green("+")
			now++
		default:
			old, now = old+1, now+1
		}
		pieces := w.lang.highlight(term.Visible(l.Text), open)
		if marks[i] != nil {
			pieces = marks[i]
		}
		if l.Kind == " " {
			openOld = openNow
		}
		if l.NoEnd {
			pieces = append(pieces, piece{"  \\ no line break at the end", term.StyleDim})
		}
		gutter := w.paint.Dim(term.Pad(fmt.Sprint(number), 5, true)) + " "
		for _, text := range w.fold(pieces, max(width-7, 8)) {
			rows = append(rows, Row{Text: gutter + sign + text, Line: number, Gone: gone, Code: l.Text})
			gutter = strings.Repeat(" ", 6)
		}
	}
	return rows
}

// fold lays pieces out in rows of a width.
func (w *writer) fold(pieces []piece, width int) []string {
	var out []string
	var b strings.Builder
	room := width
	for _, p := range pieces {
		rest := p.text
		for rest != "" {
			cut := fitting(rest, room)
			if cut == 0 && room < width {
				out, room = append(out, b.String()), width
				b.Reset()
				continue
			}
			if cut == 0 { // one character that is wider than the screen
				cut = len(rest)
			}
			b.WriteString(w.paint.Apply(p.style, rest[:cut]))
			room -= term.Width(rest[:cut])
			rest = rest[cut:]
		}
	}
	return append(out, b.String())
}

// fitting is how many bytes of a text fit into some columns.
func fitting(text string, room int) int {
	for i, r := range text {
		if room -= term.Width(string(r)); room < 0 {
			return i
		}
	}
	return len(text)
}
