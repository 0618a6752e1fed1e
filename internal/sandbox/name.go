package sandbox

import (
	"fmt"
	"strings"
)

// MaxNameLength is the longest an agent's name may be, in bytes.
const MaxNameLength = 64

// ValidateName says what is wrong with an agent's name, which becomes part of
// a branch, a path and a host name: letters, digits, '.', '_' and '-', with a
// letter or digit at both ends, and none of what git refuses in a ref
// (git-check-ref-format(1)): "..", a trailing ".lock".
func ValidateName(name string) error {
	switch {
	case name == "":
		return nameError(name, "it is empty")
	case len(name) > MaxNameLength:
		return nameError(name, fmt.Sprintf("it is %d bytes long, at most %d are allowed", len(name), MaxNameLength))
	}
	for i, r := range name {
		if !nameRune(r) {
			return nameError(name, fmt.Sprintf("character %q at position %d is not allowed", r, i+1))
		}
	}
	switch {
	case !alphanumeric(rune(name[0])):
		return nameError(name, fmt.Sprintf("it starts with %q", name[0]))
	case !alphanumeric(rune(name[len(name)-1])):
		return nameError(name, fmt.Sprintf("it ends with %q", name[len(name)-1]))
	case strings.Contains(name, ".."):
		return nameError(name, `".." is not allowed`)
	case strings.HasSuffix(strings.ToLower(name), ".lock"):
		return nameError(name, `it ends with ".lock"`)
	}
	return nil
}

func nameError(name, why string) error {
	return Fail(CodeUsage, fmt.Errorf("agent name %q: %s", name, why),
		"use letters, digits, '.', '_' and '-', starting and ending with a letter or digit, such as \"docs\" or \"fix-login\"")
}

func nameRune(r rune) bool {
	return alphanumeric(r) || r == '.' || r == '_' || r == '-'
}

func alphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}
