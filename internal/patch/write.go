package patch

import (
	"fmt"
	"slices"
	"strings"

	"agentprocess/internal/term"
)

// Style says how a patch is shown.
type Style struct {
	// Word marks, in lines that were changed, the words that were.
	Word bool
	// Side puts old and new beside each other.
	Side bool
}

// wide is the width from which old and new fit beside each other.
const wide = 160

// Wide reports whether a screen has room for old and new beside each other.
func Wide(s *term.Screen) bool { return s.TTY && s.Columns() >= wide }

// writer writes one patch.
type writer struct {
	out   *term.Screen
	paint term.Paint
	style Style
	lang  *language
	err   error
}

// Write shows files.
func Write(s *term.Screen, files []File, style Style) error {
	w := &writer{out: s, paint: s.Paint(), style: style}
	for i, f := range files {
		if i > 0 {
			w.line("")
		}
		w.file(f)
	}
	return w.err
}

func (w *writer) line(text string) {
	if w.err != nil {
		return
	}
	if _, err := fmt.Fprintln(w.out, strings.TrimRight(text, " ")); err != nil {
		w.err = fmt.Errorf("write output: %w", err)
	}
}

func (w *writer) file(f File) {
	head := w.paint.Bold(term.Visible(Name(f))) + "  " + w.paint.Dim(What(f))
	w.line(head)
	if f.Flag != "" {
		w.line(w.paint.Yellow("  look: " + term.Visible(f.Flag)))
	}
	w.lang = languageOf(f.Path)
	for _, h := range f.Hunks {
		w.line(w.paint.Cyan(fmt.Sprintf("@@ %d → %d", h.Old, h.New)) + " " + w.paint.Dim(term.Visible(h.Title)))
		if w.style.Side {
			w.side(h)
		} else {
			w.unified(h)
		}
	}
}

// Name is the path of a file, and the one it had.
func Name(f File) string {
	if f.From != "" {
		return f.From + " → " + f.Path
	}
	return f.Path
}

// What says what was done to a file.
func What(f File) string {
	text := map[string]string{"A": "new", "D": "deleted", "M": "changed", "R": "moved", "C": "copied", "T": "another kind of file"}[f.Status]
	if f.Binary {
		text += ", binary"
	} else {
		text += fmt.Sprintf(", +%d −%d", f.Insertions, f.Deletions)
	}
	if f.OldMode != f.NewMode && f.Status != "A" && f.Status != "D" {
		text += ", mode " + f.OldMode + " → " + f.NewMode
	}
	return text
}

// unified shows a hunk line by line.
func (w *writer) unified(h Hunk) {
	old, now := false, false // block comments that are open on either side
	marks := w.marks(h)
	for i, l := range h.Lines {
		var text string
		switch l.Kind {
		case "-":
			text = w.paint.Red("-") + w.text(l, &old, marks[i])
		case "+":
			text = w.paint.Green("+") + w.text(l, &now, marks[i])
		default:
			text = " " + w.text(l, &now, nil)
			old = now
		}
		w.line(text)
		if l.NoEnd {
			w.line(w.paint.Dim("\\ no line break at the end"))
		}
	}
}

// text colours a line: its language, or, where words are marked, those.
func (w *writer) text(l Line, open *bool, marked []piece) string {
	pieces := w.lang.highlight(term.Visible(l.Text), open)
	if marked != nil {
		pieces = marked
	}
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(w.paint.Apply(p.style, p.text))
	}
	return b.String()
}

// marks are, by line of a hunk, the words that differ between lines that took
// each other's place: the n-th that went and the n-th that came.
func (w *writer) marks(h Hunk) map[int][]piece {
	marks := map[int][]piece{}
	if !w.style.Word {
		return marks
	}
	for i := 0; i < len(h.Lines); {
		gone, come := run(h, i)
		for n := range min(gone, come) {
			a, b := i+n, i+gone+n
			marks[a], marks[b] = words(term.Visible(h.Lines[a].Text), term.Visible(h.Lines[b].Text))
		}
		i += max(gone+come, 1)
	}
	return marks
}

// run counts the lines from i on that went, and after them those that came.
func run(h Hunk, i int) (gone, come int) {
	for i+gone < len(h.Lines) && h.Lines[i+gone].Kind == "-" {
		gone++
	}
	for i+gone+come < len(h.Lines) && h.Lines[i+gone+come].Kind == "+" {
		come++
	}
	return gone, come
}

// mostWords bounds the comparison of two lines, which takes the product.
const mostWords = 400

// words marks what differs between two lines.
func words(a, b string) (old, now []piece) {
	x, y := split(a), split(b)
	if len(x) > mostWords || len(y) > mostWords {
		return []piece{{a, term.StyleRed}}, []piece{{b, term.StyleGreen}}
	}
	same := make([][]int, len(x)+1) // the longest common rest from i and j on
	for i := range same {
		same[i] = make([]int, len(y)+1)
	}
	for i, a := range slices.Backward(x) {
		for j, b := range slices.Backward(y) {
			same[i][j] = max(same[i+1][j], same[i][j+1])
			if a == b {
				same[i][j] = same[i+1][j+1] + 1
			}
		}
	}
	old, now = []piece{}, []piece{}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			old, now = append(old, piece{x[i], term.StyleRed}), append(now, piece{y[j], term.StyleGreen})
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && same[i+1][j] >= same[i][j+1]:
			old = append(old, piece{x[i], term.StyleRedBack})
			i++
		default:
			now = append(now, piece{y[j], term.StyleGreenBack})
			j++
		}
	}
	return old, now
}

// split cuts a line into words and what is between them.
func split(line string) []string {
	var list []string
	for line != "" {
		w := word(line)
		list, line = append(list, w), line[len(w):]
	}
	return list
}

// side shows a hunk with old and new beside each other; lines that are too long
// go on below.
func (w *writer) side(h Hunk) {
	half := max((w.out.Columns()-15)/2, 20)
	old, now := h.Old, h.New
	for i := 0; i < len(h.Lines); {
		gone, come := run(h, i)
		if gone+come == 0 {
			w.pair(half, cell{old, h.Lines[i], term.StylePlain}, cell{now, h.Lines[i], term.StylePlain})
			old, now, i = old+1, now+1, i+1
			continue
		}
		for n := range max(gone, come) {
			var left, right cell
			if n < gone {
				left = cell{old + n, h.Lines[i+n], term.StyleRed}
			}
			if n < come {
				right = cell{now + n, h.Lines[i+gone+n], term.StyleGreen}
			}
			w.pair(half, left, right)
		}
		old, now, i = old+gone, now+come, i+gone+come
	}
}

// cell is one side of a line; number 0 is none.
type cell struct {
	number int
	line   Line
	style  term.Style
}

func (w *writer) pair(half int, left, right cell) {
	a, b := w.wrapped(left, half), w.wrapped(right, half)
	for i := range max(len(a), len(b)) {
		var l, r, ln, rn string
		if i < len(a) {
			l = a[i]
		}
		if i < len(b) {
			r = b[i]
		}
		if i == 0 && left.number > 0 {
			ln = fmt.Sprint(left.number)
		}
		if i == 0 && right.number > 0 {
			rn = fmt.Sprint(right.number)
		}
		w.line(w.paint.Dim(term.Pad(ln, 5, true)) + " " + w.paint.Apply(left.style, term.Pad(l, half, false)) + " " +
			w.paint.Dim("│"+term.Pad(rn, 5, true)) + " " + w.paint.Apply(right.style, r))
	}
}

// wrapped cuts a line into pieces that fit.
func (w *writer) wrapped(c cell, width int) []string {
	if c.number == 0 {
		return nil
	}
	rest := term.Visible(c.line.Text)
	var out []string
	for {
		cut, columns := 0, 0
		for i, r := range rest {
			size := term.Width(string(r))
			if columns += size; columns > width {
				break
			}
			cut = i + len(string(r))
		}
		if cut == 0 || cut == len(rest) {
			return append(out, rest)
		}
		out, rest = append(out, rest[:cut]), rest[cut:]
	}
}

// Stat shows how much of each file is changed.
func Stat(s *term.Screen, files []File) error {
	t := term.Table{Columns: []term.Column{{Shrink: true}, {Right: true}, {Right: true}, {}}}
	insertions, deletions := 0, 0
	for _, f := range files {
		insertions, deletions = insertions+f.Insertions, deletions+f.Deletions
		in, out := fmt.Sprintf("+%d", f.Insertions), fmt.Sprintf("−%d", f.Deletions)
		if f.Binary {
			in, out = "binary", ""
		}
		t.Add(term.Cell{Text: Name(f), Style: term.StyleBold}, term.Cell{Text: in, Style: term.StyleGreen}, term.Cell{Text: out, Style: term.StyleRed},
			term.Cell{Text: f.Flag, Style: term.StyleYellow})
	}
	if err := t.Write(s); err != nil {
		return err
	}
	noun := "files"
	if len(files) == 1 {
		noun = "file"
	}
	if _, err := fmt.Fprintf(s, "%d %s, +%d −%d\n", len(files), noun, insertions, deletions); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
