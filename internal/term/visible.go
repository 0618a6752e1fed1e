package term

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tabStop is how far tabs go.
const tabStop = 4

// Visible makes text from inside safe to show on one line: control characters
// become pictures of themselves (ESC is ␛, a newline is ␊), what reorders or
// hides text becomes an escape such as \u202e, bytes that are not UTF-8 become
// \xff, tabs become spaces. It is idempotent.
func Visible(text string) string { return visible(text, false) }

// VisibleLines is Visible for text of several lines: newlines stay.
func VisibleLines(text string) string { return visible(text, true) }

func visible(text string, lines bool) string {
	if plainASCII(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + 8)
	column := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		shown := text[i : i+size]
		switch {
		case r == '\n' && lines:
			b.WriteByte('\n')
			column, i = 0, i+size
			continue
		case r == utf8.RuneError && size == 1:
			shown = fmt.Sprintf(`\x%02x`, text[i])
		case r == '\t':
			shown = "    "[column%tabStop:]
		case hidden(r):
			shown = picture(r)
		}
		b.WriteString(shown)
		column += Width(shown)
		i += size
	}
	return b.String()
}

// plainASCII spares the common case a copy.
func plainASCII(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// hidden reports whether a terminal would act on r, or show nothing for it.
func hidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r < 0xa1:
		return false
	case unicode.In(r, unicode.Cf, unicode.Cs, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point):
		return true
	case unicode.Is(unicode.Noncharacter_Code_Point, r):
		return true
	}
	// Variation selectors carry any data unseen; the first sixteen are how
	// emoji are written, and harmless.
	return unicode.Is(unicode.Variation_Selector, r) && (r < 0xfe00 || r > 0xfe0f)
}

// picture is how a hidden rune is shown: the control pictures of Unicode for
// C0 and DEL, an escape for all else.
func picture(r rune) string {
	switch {
	case r < 0x20:
		return string('␀' + r)
	case r == 0x7f:
		return "␡"
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
