package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxGlob = 1024
	maxPath = 16 << 10
)

// checkGlob judges the path of a rule.
func checkGlob(glob string) error {
	switch {
	case glob == "":
		return nil
	case glob == "/":
		return ErrRuleRoot
	case len(glob) > maxGlob, !utf8.ValidString(glob), strings.ContainsAny(glob, `?#%\;`), strings.Contains(glob, "***"):
		return ErrRulePath
	}
	for _, c := range glob {
		if !unicode.IsGraphic(c) || unicode.IsSpace(c) {
			return ErrRulePath
		}
	}
	if !plainSegments(glob) {
		return ErrRulePath
	}
	return nil
}

// plainSegments reports whether no segment but the last is empty, and none
// means another than itself.
func plainSegments(path string) bool {
	rest := path[1:]
	for {
		segment, after, more := strings.Cut(rest, "/")
		name, _, _ := strings.Cut(segment, ";") // some servers strip parameters, and then see dots
		if name == "." || name == ".." || segment == "" && more {
			return false
		}
		if !more {
			return true
		}
		rest = after
	}
}

// readings gives the ways in which servers may read a path that came escaped
// in a request: with "%2F" as a slash, and as a part of its segment. A path
// with more ways than these has none.
func readings(escaped string) (paths []string, ok bool) {
	if !strings.HasPrefix(escaped, "/") || len(escaped) > maxPath {
		return nil, false
	}
	var slashed, kept strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' {
			if c, ok = unhex(escaped[i:]); !ok {
				return nil, false
			}
			i += 2
			if c == '/' {
				slashed.WriteByte('/')
				kept.WriteString("%2F")
				continue
			}
			if c == '%' {
				return nil, false // it may be decoded twice
			}
		}
		if c < ' ' || c == 0x7f || c == '\\' || c == '?' || c == '#' {
			return nil, false
		}
		slashed.WriteByte(c)
		kept.WriteByte(c)
	}
	if !plainSegments(slashed.String()) || !plainSegments(kept.String()) || !utf8.ValidString(slashed.String()) {
		return nil, false
	}
	if slashed.String() == kept.String() {
		return []string{kept.String()}, true
	}
	return []string{slashed.String(), kept.String()}, true
}

// unhex reads "%41".
func unhex(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	high, ok1 := hexDigit(s[1])
	low, ok2 := hexDigit(s[2])
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// matchGlob reports whether a path is one of a glob's: "*" is any text
// without a slash, "**" any text. The time is that of one times the other.
func matchGlob(glob, path string) bool {
	// at[i] says that glob[:i] matches what was read of the path.
	at := make([]bool, len(glob)+1)
	next := make([]bool, len(glob)+1)
	at[0] = true
	skip(glob, at)
	for i := range len(path) {
		clear(next)
		for g := range len(glob) {
			if !at[g] {
				continue
			}
			switch glob[g] {
			case '*':
				if path[i] != '/' || double(glob, g) {
					next[g] = true
				}
			case path[i]:
				next[g+1] = true
			}
		}
		skip(glob, next)
		at, next = next, at
	}
	return at[len(glob)]
}

// skip lets stars stand for nothing.
func skip(glob string, at []bool) {
	for g := range len(glob) {
		if at[g] && glob[g] == '*' {
			at[g+1] = true
		}
	}
}

// double reports whether the star at g is one of a pair.
func double(glob string, g int) bool {
	return g+1 < len(glob) && glob[g+1] == '*' || g > 0 && glob[g-1] == '*'
}
