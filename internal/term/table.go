package term

import (
	"fmt"
	"io"
	"strings"
)

// gap stands between two columns.
const gap = "  "

// Column says how one column of a table is laid out.
type Column struct {
	Title string
	// Right aligns numbers.
	Right bool
	// Shrink columns are cut, widest first, when the screen is too narrow.
	Shrink bool
}

// Cell is one field of a table. Its text may come from inside.
type Cell struct {
	Text  string
	Style Style
}

// Text is a plain cell.
func Text(text string) Cell { return Cell{Text: text} }

// Table lays cells out in columns by the width they have on a screen.
type Table struct {
	Columns []Column
	// Indent stands before every line.
	Indent string
	rows   [][]Cell
}

// Add appends a row; missing cells are empty, and those too many are dropped.
func (t *Table) Add(cells ...Cell) {
	row := make([]Cell, len(t.Columns))
	for i := range min(len(cells), len(row)) {
		row[i] = Cell{Text: Visible(cells[i].Text), Style: cells[i].Style}
	}
	t.rows = append(t.rows, row)
}

// Write prints the table, with a head if any column has a title. Columns
// shrink only on a screen that a person looks at.
func (t *Table) Write(s *Screen) error {
	limit := 0
	if s.TTY {
		limit = s.Columns()
	}
	rows := t.rows
	if head, ok := t.head(); ok {
		rows = append([][]Cell{head}, rows...)
	}
	widths := t.widths(rows, limit)
	for _, row := range rows {
		if err := t.line(s, row, widths); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) head() ([]Cell, bool) {
	titled := false
	row := make([]Cell, len(t.Columns))
	for i, c := range t.Columns {
		row[i] = Cell{Text: c.Title, Style: StyleDim}
		titled = titled || c.Title != ""
	}
	return row, titled
}

// minShrunk is the least width that a column is cut to.
const minShrunk = 8

func (t *Table) widths(rows [][]Cell, limit int) []int {
	widths := make([]int, len(t.Columns))
	total := Width(t.Indent) + len(gap)*max(len(widths)-1, 0)
	for i := range widths {
		for _, row := range rows {
			widths[i] = max(widths[i], Width(row[i].Text))
		}
		total += widths[i]
	}
	for limit > 0 && total > limit {
		i := t.widestShrinking(widths)
		if i < 0 {
			break
		}
		widths[i]--
		total--
	}
	return widths
}

func (t *Table) widestShrinking(widths []int) int {
	widest := -1
	for i, c := range t.Columns {
		if c.Shrink && widths[i] > minShrunk && (widest < 0 || widths[i] > widths[widest]) {
			widest = i
		}
	}
	return widest
}

func (t *Table) line(w *Screen, row []Cell, widths []int) error {
	var b strings.Builder
	paint := w.Paint()
	b.WriteString(t.Indent)
	pending := "" // spaces, written only if something follows
	for i, c := range row {
		text := c.Text
		if t.Columns[i].Shrink {
			text = Truncate(text, widths[i])
		}
		padding := strings.Repeat(" ", widths[i]-Width(text))
		if t.Columns[i].Right {
			pending, padding = pending+padding, ""
		}
		if text != "" {
			b.WriteString(pending + paint.Apply(c.Style, text))
			pending = ""
		}
		pending += padding + gap
	}
	return writeLine(w, b.String())
}

func writeLine(w io.Writer, line string) error {
	if _, err := fmt.Fprintln(w, line); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
