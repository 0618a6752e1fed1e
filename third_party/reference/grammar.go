package reference

import (
	"net/netip"
	"strings"
)

// maxTag is how many bytes a tag may have.
const maxTag = 128

// digits of a SHA-256 digest.
const identifierLen = 64

func lower(c byte) bool { return 'a' <= c && c <= 'z' }
func digit(c byte) bool { return '0' <= c && c <= '9' }
func alnum(c byte) bool { return lower(c|0x20) || digit(c) }

// all reports whether s is not empty and made of bytes that ok takes.
func all(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return s != ""
}

// isIdentifier reports whether s is the digits of a SHA-256 digest.
func isIdentifier(s string) bool {
	return len(s) == identifierLen && all(s, func(c byte) bool { return digit(c) || 'a' <= c && c <= 'f' })
}

// isTag: word characters, and from the second on dots and dashes.
func isTag(s string) bool {
	return s != "" && len(s) <= maxTag && s[0] != '.' && s[0] != '-' &&
		all(s, func(c byte) bool { return alnum(c) || c == '_' || c == '.' || c == '-' })
}

// isDomain: a host name or an address, and a port.
func isDomain(s string) bool {
	host, port, hasPort := s, "", false
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port, hasPort = s[:i], s[i+1:], true
	}
	if hasPort && !all(port, digit) {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr.Is6() && addr.Zone() == ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if !all(label, func(c byte) bool { return alnum(c) || c == '-' }) || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// isPath: components of letters and digits, with separators between them.
func isPath(s string) bool {
	for component := range strings.SplitSeq(s, "/") {
		if !isComponent(component) {
			return false
		}
	}
	return true
}

// isComponent: a separator is one dot, one or two underscores, or any number
// of dashes, and stands between two letters or digits.
func isComponent(s string) bool {
	word := func(c byte) bool { return lower(c) || digit(c) }
	if s == "" || !word(s[0]) || !word(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); {
		if word(s[i]) {
			i++
			continue
		}
		start := i
		for !word(s[i]) { // ends: the last byte is a word's
			i++
		}
		separator := s[start:i]
		if separator != "." && separator != "_" && separator != "__" && strings.Trim(separator, "-") != "" {
			return false
		}
	}
	return true
}
