package projecthook

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// headKept and tailKept are how much of a stream's begin and end is kept.
	headKept = 2 << 10
	tailKept = 4 << 10
	// maxReason bounds a reason as it is shown; the hook protocol takes 8 KiB.
	maxReason = 7 << 10
	// lastLines and lastBytes bound what is told of stderr after a failure.
	lastLines = 10
	lastBytes = 1 << 10
)

// excerpt keeps the begin and the end of what is written to it. It takes
// everything: a hook is not to fail for talking much.
type excerpt struct {
	head, tail []byte
	total      int
}

// Write implements io.Writer.
func (e *excerpt) Write(p []byte) (int, error) {
	n := len(p)
	e.total += n
	if room := headKept - len(e.head); room > 0 {
		room = min(room, len(p))
		e.head, p = append(e.head, p[:room]...), p[room:]
	}
	if len(p) > tailKept {
		p = p[len(p)-tailKept:]
	}
	e.tail = append(e.tail, p...)
	if over := len(e.tail) - tailKept; over > 0 {
		e.tail = append(e.tail[:0], e.tail[over:]...)
	}
	return n, nil
}

// text is what was kept, safe to show.
func (e *excerpt) text() string {
	left := e.total - len(e.head) - len(e.tail)
	if left == 0 {
		return bound(visible(strings.TrimSpace(string(e.head) + string(e.tail))))
	}
	head, tail := wholeRunes(e.head, e.tail)
	return bound(visible(strings.TrimSpace(fmt.Sprintf("%s\n[%d bytes left out]\n%s", head, left, tail))))
}

// last are the last lines, safe to show.
func (e *excerpt) last() string {
	if e == nil {
		return ""
	}
	text := strings.TrimSpace(string(e.head) + string(e.tail))
	if len(text) > lastBytes {
		_, tail := wholeRunes(nil, []byte(text[len(text)-lastBytes:]))
		text = string(tail)
	}
	lines := strings.Split(text, "\n")
	return visible(strings.Join(lines[max(0, len(lines)-lastLines):], "\n"))
}

// wholeRunes takes from the ends of a cut what is left of a rune.
func wholeRunes(head, tail []byte) (cutHead, cutTail []byte) {
	for i := 1; i <= min(utf8.UTFMax-1, len(head)); i++ {
		if c := head[len(head)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(head[len(head)-i:]) {
				head = head[:len(head)-i]
			}
			break
		}
	}
	for i := 0; i < utf8.UTFMax-1 && len(tail) > 0 && !utf8.RuneStart(tail[0]); i++ {
		tail = tail[1:]
	}
	return head, tail
}

// limited keeps what is written to it up to a limit, and counts on.
type limited struct {
	data  []byte
	limit int
	over  bool
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	room := min(l.limit-len(l.data), len(p))
	l.data = append(l.data, p[:room]...)
	l.over = l.over || room < len(p)
	return len(p), nil
}

// visible makes text safe to show: what a terminal would act on, or show
// nothing for, becomes an escape. Newlines and tabs stay.
func visible(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r == '\n', r == '\t':
			b.WriteRune(r)
		case r == '\r' && strings.HasPrefix(text[i+1:], "\n"):
		case hidden(r) && r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// hidden reports whether r is not there to be read.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point) ||
		unicode.Is(unicode.Variation_Selector, r) && r > 0xfe0f
}

// bound cuts a text that is about to be shown.
func bound(text string) string {
	if len(text) <= maxReason {
		return text
	}
	const cut = "\n[cut]"
	head, _ := wholeRunes([]byte(text[:maxReason-len(cut)]), nil)
	return string(head) + cut
}
