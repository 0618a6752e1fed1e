package shell

import (
	"strings"
	"unicode/utf8"
)

// unquoted is a literal outside of quotes: a backslash makes the next
// character plain. glob says that a character of a pattern was left.
func unquoted(lit string) (text string, glob bool) {
	if !strings.ContainsAny(lit, `\*?[`) {
		return lit, false
	}
	var b strings.Builder
	last := strings.LastIndexByte(lit, ']')
	for i := 0; i < len(lit); i++ {
		switch lit[i] {
		case '\\':
			if i++; i >= len(lit) {
				b.WriteByte('\\')
				continue
			}
		case '*', '?':
			glob = true
		case '[':
			glob = glob || i < last
		}
		b.WriteByte(lit[i])
	}
	return b.String(), glob
}

// isGlob says whether a text would be taken as a pattern.
func isGlob(text string) bool {
	return strings.ContainsAny(text, "*?") || strings.Contains(text, "[") && strings.Contains(text, "]")
}

// unescaped takes the backslash away before one of the characters in set: in
// double quotes and in here-documents the others keep theirs.
func unescaped(lit, set string) string {
	if !strings.Contains(lit, `\`) {
		return lit
	}
	var b strings.Builder
	for i := 0; i < len(lit); i++ {
		if lit[i] == '\\' && i+1 < len(lit) && strings.IndexByte(set, lit[i+1]) >= 0 {
			i++
			if lit[i] == '\n' {
				continue
			}
		}
		b.WriteByte(lit[i])
	}
	return b.String()
}

// escapes are the letters after a backslash that stand for one byte.
func escapes(c byte) (byte, bool) {
	switch c {
	case 'a':
		return 7, true
	case 'b':
		return 8, true
	case 'e', 'E':
		return 27, true
	case 'f':
		return 12, true
	case 'n':
		return 10, true
	case 'r':
		return 13, true
	case 't':
		return 9, true
	case 'v':
		return 11, true
	}
	return 0, false
}

// decoded is the text of $'…', and of the formats of printf and echo -e, where
// octal numbers may have a leading 0. ok is false for what we will not guess.
func decoded(s string) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 >= len(s) {
			b.WriteByte(s[i])
			i++
			continue
		}
		n := decodeOne(&b, s[i+1:])
		if n == 0 {
			return b.String(), false
		}
		i += 1 + n
	}
	return b.String(), !strings.ContainsRune(b.String(), 0)
}

// decodeOne writes what stands after a backslash, and says how long that was.
func decodeOne(b *strings.Builder, s string) int {
	c := s[0]
	if plain, ok := escapes(c); ok {
		b.WriteByte(plain)
		return 1
	}
	switch c {
	case '\\', '\'', '"', '?':
		b.WriteByte(c)
		return 1
	case 'x':
		return number(b, s, 1, 2, 16)
	case 'u':
		return number(b, s, 1, 4, 16)
	case 'U':
		return number(b, s, 1, 8, 16)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return number(b, s, 0, 3, 8)
	case 'c':
		return 0 // a control character, or the end of printf's output
	}
	b.WriteByte('\\')
	b.WriteByte(c)
	return 1
}

// number writes the character of a number with at most so many digits.
func number(b *strings.Builder, s string, from, most, base int) int {
	const digits = "0123456789abcdef"
	value, i := 0, from
	for ; i < len(s) && i < from+most; i++ {
		d := strings.IndexByte(digits[:base], s[i]|0x20*lower(s[i]))
		if d < 0 {
			break
		}
		value = value*base + d
	}
	switch {
	case i == from || value > utf8.MaxRune:
		return 0
	case s[0] == 'u' || s[0] == 'U':
		b.WriteRune(rune(value))
	default:
		b.WriteByte(byte(value & 0xff))
	}
	return i
}

// lower is 1 for a capital letter.
func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return 1
	}
	return 0
}

// printed is what printf writes for a format and arguments, as far as it is
// plain: %s, %d, %% and backslashes.
func printed(format string, args []Word) (string, bool) {
	var b strings.Builder
	for round := 0; round == 0 || len(args) > 0; round++ {
		before := len(args)
		for i := 0; i < len(format); i++ {
			switch {
			case format[i] == '\\' && i+1 < len(format):
				n := decodeOne(&b, format[i+1:])
				if n == 0 {
					return "", false
				}
				i += n
			case format[i] != '%':
				b.WriteByte(format[i])
			case strings.HasPrefix(format[i:], "%%"):
				b.WriteByte('%')
				i++
			case strings.HasPrefix(format[i:], "%s"):
				i++
				if len(args) > 0 {
					b.WriteString(args[0].Text)
					args = args[1:]
				}
			default:
				return "", false
			}
		}
		if b.Len() > maxWord {
			return "", false
		}
		if len(args) == before {
			break
		}
	}
	return b.String(), true
}

// echoed is what echo writes. Whether it minds backslashes without being told
// is different from shell to shell.
func echoed(args []Word) (string, bool) {
	end, escape := "\n", false
options:
	for len(args) > 0 {
		switch args[0].Text {
		case "-n":
			end = ""
		case "-e", "-ne", "-en":
			escape = true
			if args[0].Text != "-e" {
				end = ""
			}
		case "-E":
		default:
			break options
		}
		args = args[1:]
	}
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = a.Text
	}
	text := strings.Join(texts, " ")
	if !strings.Contains(text, `\`) {
		return text + end, true
	}
	if !escape {
		return "", false
	}
	text, ok := decoded(text)
	return text + end, ok
}
