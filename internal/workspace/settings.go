package workspace

import (
	"bytes"
	"slices"
	"strings"
)

// setting is one line of git's configuration.
type setting struct{ scope, key, value string }

// settings is git's configuration in the order git reads it.
type settings []setting

// parseSettings reads `git config --list -z --show-scope`: scope NUL key LF
// value NUL, where a key without a value has no LF.
func parseSettings(out []byte) settings {
	f := bytes.Split(out, []byte{0})
	var s settings
	for i := 0; i+1 < len(f); i += 2 {
		key, value, found := strings.Cut(string(f[i+1]), "\n")
		if !found {
			value = "true" // git's meaning of a key alone
		}
		s = append(s, setting{scope: string(f[i]), key: key, value: value})
	}
	return s
}

// value is what key is set to, the last setting winning.
func (s settings) value(key string) string {
	for _, e := range slices.Backward(s) {
		if e.key == key {
			return e.value
		}
	}
	return ""
}

// local is value, for what the repository itself sets.
func (s settings) local(key string) string {
	for _, e := range slices.Backward(s) {
		if e.key == key && (e.scope == "local" || e.scope == "worktree") {
			return e.value
		}
	}
	return ""
}

// filters are the names of the filter drivers that are configured.
func (s settings) filters() []string {
	var names []string
	for _, e := range s {
		rest, ok := strings.CutPrefix(e.key, "filter.")
		dot := strings.LastIndexByte(rest, '.')
		if ok && dot > 0 && !slices.Contains(names, rest[:dot]) {
			names = append(names, rest[:dot])
		}
	}
	slices.Sort(names)
	return names
}
