package term

import (
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// DefaultWidth is the width assumed for what has none.
const DefaultWidth = 80

// Streams are the three standard streams. stdout is data, stderr is talk.
type Streams struct {
	In io.Reader
	// InTTY says that a person may be asked.
	InTTY    bool
	Out, Err *Screen
}

// OS gives the streams of this process.
func OS() Streams {
	return Streams{
		In:    os.Stdin,
		InTTY: term.IsTerminal(int(os.Stdin.Fd())),
		Out:   fileScreen(os.Stdout, os.LookupEnv),
		Err:   fileScreen(os.Stderr, os.LookupEnv),
	}
}

// Screen is one stream that is written to, and what it can do.
type Screen struct {
	W io.Writer
	// TTY says that a person looks at it, so lines may be cut and redrawn.
	TTY bool
	// Colour says that styles are understood and wanted.
	Colour bool
	// Width is the number of columns when it cannot be asked of W.
	Width int
}

// Plain is a screen for a file, a pipe or a buffer.
func Plain(w io.Writer) *Screen { return &Screen{W: w} }

// fileScreen finds out what f can do. lookup is os.LookupEnv, or a test's.
func fileScreen(f *os.File, lookup func(string) (string, bool)) *Screen {
	tty := term.IsTerminal(int(f.Fd()))
	columns, _ := lookup("COLUMNS")
	width, err := strconv.Atoi(columns)
	if err != nil {
		width = 0
	}
	return &Screen{W: f, TTY: tty && !dumb(lookup), Colour: wantColour(tty, lookup), Width: width}
}

// wantColour follows no-color.org and bixense.com/clicolors: NO_COLOR wins,
// then CLICOLOR_FORCE, then whether it is a terminal that can.
func wantColour(tty bool, lookup func(string) (string, bool)) bool {
	if v, _ := lookup("NO_COLOR"); v != "" {
		return false
	}
	if v, _ := lookup("CLICOLOR_FORCE"); v != "" && v != "0" {
		return true
	}
	if v, ok := lookup("CLICOLOR"); ok && v == "0" {
		return false
	}
	return tty && !dumb(lookup)
}

func dumb(lookup func(string) (string, bool)) bool {
	v, ok := lookup("TERM")
	return !ok || v == "" || strings.EqualFold(v, "dumb")
}

// Write implements io.Writer.
func (s *Screen) Write(p []byte) (int, error) { return s.W.Write(p) }

// Columns is the width to lay text out for, asked anew each time because
// windows change.
func (s *Screen) Columns() int {
	if f, ok := s.W.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	if s.Width > 0 {
		return s.Width
	}
	return DefaultWidth
}

// Paint gives the styles of the screen, which do nothing without colour.
func (s *Screen) Paint() Paint { return Paint{on: s.Colour} }

// Paint wraps text in styles. The zero value leaves it plain.
type Paint struct{ on bool }

// Style is a look that a piece of text can have.
type Style string

// The styles there are; the values are SGR parameters of ECMA-48.
const (
	StylePlain  Style = ""
	StyleBold   Style = "1"
	StyleDim    Style = "2"
	StyleRed    Style = "31"
	StyleGreen  Style = "32"
	StyleYellow Style = "33"
	StyleCyan   Style = "36"
	// For numbers in code, and for parts of a line that stand out of it.
	StyleMagenta   Style = "35"
	StyleRedBack   Style = "41;37"
	StyleGreenBack Style = "42;30"
)

// Apply gives text the style. The text must be visible already.
func (p Paint) Apply(s Style, text string) string {
	if !p.on || s == StylePlain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// Bold is for names.
func (p Paint) Bold(text string) string { return p.Apply(StyleBold, text) }

// Dim is for what matters less.
func (p Paint) Dim(text string) string { return p.Apply(StyleDim, text) }

// Red is for what went wrong or was denied.
func (p Paint) Red(text string) string { return p.Apply(StyleRed, text) }

// Green is for what went well.
func (p Paint) Green(text string) string { return p.Apply(StyleGreen, text) }

// Yellow is for what a person should look at.
func (p Paint) Yellow(text string) string { return p.Apply(StyleYellow, text) }

// Cyan is for what can be typed.
func (p Paint) Cyan(text string) string { return p.Apply(StyleCyan, text) }
