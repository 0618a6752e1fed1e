package review

import (
	"fmt"
	"slices"
	"strings"

	"agentprocess/internal/patch"
	"agentprocess/internal/term"
)

// Screen is a review on a whole screen. It draws nothing by itself: Lines are
// what is to be seen.
type Screen struct {
	// Done is set when the person leaves.
	Done bool

	out    *term.Screen
	height int
	book   *Book
	files  []patch.File
	at     int // the file
	shown  []row
	width  int // that shown was made for
	top    int // the first row that is seen
	cursor int
	help   bool
	note   string
	typing *typing
}

// row is one row of a file: of its patch, or of a comment below it.
type row struct {
	patch.Row
	comment bool
}

// typing is a comment that is being written.
type typing struct {
	on   patch.Row
	text string
}

// least is the height below which nothing makes sense.
const least = 8

// NewScreen begins at the first undecided file.
func NewScreen(out *term.Screen, b *Book, files []patch.File) *Screen {
	s := &Screen{out: out, height: 24, book: b, files: files}
	s.open(max(s.undecided(-1), 0))
	return s
}

// Resize says how high the screen is; the width it asks for itself.
func (s *Screen) Resize(height int) { s.height = max(height, least) }

// undecided is the first undecided file after one, from the beginning again
// after the last; -1 when there is none.
func (s *Screen) undecided(after int) int {
	for i := range s.files {
		if n := (after + 1 + i) % len(s.files); s.book.Decision(s.files[n]) == "" {
			return n
		}
	}
	return -1
}

// open shows a file from its beginning.
func (s *Screen) open(at int) {
	s.at, s.top, s.cursor = at, 0, 0
	s.render()
}

func (s *Screen) file() patch.File { return s.files[s.at] }

// render lays out the file and its comments.
func (s *Screen) render() {
	f := s.file()
	s.width = s.out.Columns()
	s.shown = s.commented(nil, patch.Row{})
	rows := patch.Rows(s.out.Paint(), s.width-3, f, patch.Style{Word: true})
	for i, r := range rows {
		s.shown = append(s.shown, row{Row: r})
		last := i+1 == len(rows) || rows[i+1].Line != r.Line || rows[i+1].Gone != r.Gone
		if r.Line > 0 && last {
			s.shown = s.commented(s.shown, r)
		}
	}
	if len(rows) == 0 {
		s.shown = append(s.shown, row{Row: patch.Row{Text: s.out.Paint().Dim(term.Truncate("there is no text to show: "+patch.What(f), s.width-3))}})
	}
	s.move(0)
}

// commented adds the comments on a row.
func (s *Screen) commented(rows []row, on patch.Row) []row {
	for _, c := range s.book.on(s.file().Path, on) {
		said := "you: "
		if c.Told {
			said = "you told it: "
		}
		for _, line := range term.Wrap(said+term.Visible(c.Text), max(s.width-10, 8)) {
			rows = append(rows, row{comment: true, Row: patch.Row{Text: "      " + s.out.Paint().Yellow("┃ "+line)}})
		}
	}
	return rows
}

// room is how many rows of the file are seen at a time.
func (s *Screen) room() int { return s.height - 4 }

// move moves the cursor, and what is seen with it.
func (s *Screen) move(by int) {
	s.cursor = min(max(s.cursor+by, 0), max(len(s.shown)-1, 0))
	s.top = min(s.top, s.cursor)
	s.top = max(s.top, s.cursor-s.room()+1)
}

// Press takes a key, as Keys names it.
func (s *Screen) Press(key string) error {
	s.note = ""
	switch {
	case s.typing != nil:
		return s.typed(key)
	case s.help:
		s.help = false
		return nil
	}
	switch key {
	case "a":
		return s.decide(Accepted)
	case "r":
		return s.decide(Rejected)
	case "u":
		err := s.book.Decide(s.file(), "")
		s.note = "undecided"
		return err
	case "c":
		if s.cursor < len(s.shown) {
			s.typing = &typing{on: s.shown[s.cursor].Row}
		}
	case "C":
		s.typing = &typing{}
	case "n", "\t":
		s.open((s.at + 1) % len(s.files))
	case "p", "N":
		s.open((s.at + len(s.files) - 1) % len(s.files))
	case "q", keyEscape:
		s.Done = true
	case "?", "h":
		s.help = true
	default:
		s.scroll(key)
	}
	return nil
}

// scroll moves within a file.
func (s *Screen) scroll(key string) {
	by := map[string]int{
		"j": 1, keyDown: 1, "k": -1, keyUp: -1, " ": s.room() - 1, keyPageDown: s.room() - 1, "b": 1 - s.room(), keyPageUp: 1 - s.room(),
		"g": -len(s.shown), keyHome: -len(s.shown), "G": len(s.shown), keyEnd: len(s.shown),
	}[key]
	s.move(by)
}

// decide writes a decision down and goes on to the next undecided file.
func (s *Screen) decide(d Decision) error {
	f := s.file()
	if err := s.book.Decide(f, d); err != nil {
		return err
	}
	s.note = f.Path + " is " + string(d)
	next := s.undecided(s.at)
	if next < 0 {
		s.note += "; every file is decided, q leaves"
		return nil
	}
	s.open(next)
	return nil
}

// typed takes a key of a comment.
func (s *Screen) typed(key string) error {
	t := s.typing
	switch key {
	case keyEnter:
		s.typing = nil
		if strings.TrimSpace(t.text) == "" {
			return nil
		}
		err := s.book.Comment(Comment{Path: s.file().Path, Line: t.on.Line, Gone: t.on.Gone, Code: t.on.Code, Text: strings.TrimSpace(t.text)})
		s.render()
		return err
	case keyEscape:
		s.typing, s.note = nil, "no comment"
	case keyErase:
		if r := []rune(t.text); len(r) > 0 {
			t.text = string(r[:len(r)-1])
		}
	case keyKill:
		t.text = ""
	case keyWord:
		kept := strings.TrimRight(t.text, " ")
		t.text = kept[:strings.LastIndexByte(kept, ' ')+1]
	case keyUp, keyDown, keyPageUp, keyPageDown, keyHome, keyEnd:
	default:
		t.text += key
	}
	return nil
}

// keysHelp is the help of the screen.
func keysHelp() []string {
	return []string{
		"",
		"  a      accept this file, and go on",
		"  r      reject it, and go on",
		"  u      undecided again",
		"  c      comment on the line of the cursor",
		"  C      comment on the file",
		"",
		"  j k    down, up; also the arrows",
		"  space b  a page down, up",
		"  g G    the beginning, the end",
		"  n p    next file, the one before",
		"  q      leave; what is decided is kept",
		"",
		"  any key goes back",
	}
}

// Lines are what is to be seen, one a row, none wider than the screen.
func (s *Screen) Lines() []string {
	if s.width != s.out.Columns() {
		s.render()
	}
	s.move(0)
	paint := s.out.Paint()
	lines := []string{s.head(), s.flag()}
	if s.help {
		for _, line := range keysHelp() {
			lines = append(lines, term.Truncate(line, s.width-1))
		}
	} else {
		for i := s.top; i < min(s.top+s.room(), len(s.shown)); i++ {
			mark := "  "
			if i == s.cursor {
				mark = paint.Cyan("▸ ")
			}
			lines = append(lines, mark+s.shown[i].Text)
		}
	}
	lines = lines[:min(len(lines), s.height-2)]
	lines = append(lines, slices.Repeat([]string{""}, s.height-2-len(lines))...)
	return append(lines, s.foot()...)
}

// head says which file this is, and what was decided.
func (s *Screen) head() string {
	f, paint := s.file(), s.out.Paint()
	state := map[Decision]string{"": "", Accepted: "accepted", Rejected: "rejected"}[s.book.Decision(f)]
	count := fmt.Sprintf("%d/%d ", s.at+1, len(s.files))
	what := "  " + patch.What(f)
	if state != "" {
		what += "  "
	}
	name, room := term.Visible(patch.Name(f)), s.width-1-term.Width(count)-term.Width(state)
	if term.Width(name)+term.Width(what) > room {
		name = term.Truncate(name, max(room-term.Width(what), room/2, 1))
		what = term.Truncate(what, max(room-term.Width(name), 1))
	}
	style := term.StyleGreen
	if state == string(Rejected) {
		style = term.StyleRed
	}
	return count + paint.Bold(name) + paint.Dim(what) + paint.Apply(style, state)
}

// flag says why a file should be looked at first.
func (s *Screen) flag() string {
	if s.file().Flag == "" {
		return ""
	}
	return s.out.Paint().Yellow(term.Truncate("look: "+term.Visible(s.file().Flag), s.width-1))
}

// foot is what is typed, or what happened, and the keys.
func (s *Screen) foot() []string {
	paint := s.out.Paint()
	if s.typing != nil {
		where := "on the file"
		if s.typing.on.Line > 0 {
			where = fmt.Sprintf("on line %d", s.typing.on.Line)
		}
		label := term.Truncate("comment "+where+": ", s.width/2)
		text := []rune(term.Visible(s.typing.text))
		for term.Width(label)+term.Width(string(text)) > s.width-2 { // its end is what is seen
			text = text[1:]
		}
		return []string{paint.Bold(label) + string(text) + "▏", paint.Dim(term.Truncate("Enter keeps it   Esc forgets it", s.width-1))}
	}
	done := len(s.files) - len(s.book.Undecided(s.files))
	note := fmt.Sprintf("%d of %d decided", done, len(s.files))
	if s.note != "" {
		note += "; " + term.Visible(s.note)
	}
	if more := len(s.shown) - s.top - s.room(); more > 0 && !s.help {
		note += fmt.Sprintf("; %d more lines below", more)
	}
	keys := "a accept  r reject  c comment  n next  p back  space more  ? keys  q leave"
	return []string{paint.Cyan(term.Truncate(note, s.width-1)), paint.Dim(term.Truncate(keys, s.width-1))}
}
