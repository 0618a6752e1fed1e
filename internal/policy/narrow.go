package policy

import (
	"slices"
	"strconv"
	"strings"
)

// narrow adds one word to a rule.
func (r *Rule) narrow(word string) error {
	key, value, hasValue := strings.Cut(word, "=")
	var err error
	switch {
	case word == "tcp":
		err = once(r.TCP)
		r.TCP = true
	case strings.HasPrefix(word, "git:"):
		err = r.setGit(Git(strings.TrimPrefix(word, "git:")))
	case hasValue && key == "secret":
		err = r.setSecret(value)
	case hasValue && key == "max-up":
		err = setBudget(&r.Budget.Up, value, parseSize)
	case hasValue && key == "max-down":
		err = setBudget(&r.Budget.Down, value, parseSize)
	case hasValue && key == "max-requests":
		err = setBudget(&r.Budget.Requests, value, parseCount)
	case methodLike(word):
		err = r.setMethods(word)
	case strings.Contains(word, "#"):
		err = ErrRuleComment
	default:
		err = ErrRuleField
	}
	if err != nil {
		return err
	}
	return r.consistent()
}

func once(set bool) error {
	if set {
		return ErrRuleTwice
	}
	return nil
}

// consistent refuses rules that say what cannot all hold.
func (r *Rule) consistent() error {
	asks := r.Path != "" || len(r.Methods) > 0 || r.Git != "" || r.Secret != "" || r.Scheme != ""
	switch {
	case r.TCP && asks, r.Git != "" && len(r.Methods) > 0:
		return ErrRuleTogether
	case r.Deny && (r.TCP || r.Secret != "" || r.Budget != Budget{}):
		return ErrRuleTogether
	}
	return nil
}

func (r *Rule) setGit(git Git) error {
	if git != GitRead && git != GitWrite {
		return ErrRuleGit
	}
	if err := once(r.Git != ""); err != nil {
		return err
	}
	r.Git = git
	return nil
}

func (r *Rule) setSecret(name string) error {
	if !plainWord(name) {
		return ErrRuleSecret
	}
	if err := once(r.Secret != ""); err != nil {
		return err
	}
	r.Secret = name
	return nil
}

// methodLike reports whether a word is a try at methods.
func methodLike(word string) bool {
	for i := range len(word) {
		if c := word[i]; (c < 'A' || c > 'Z') && c != ',' && c != '-' {
			return false
		}
	}
	return true
}

// setMethods reads "GET,POST". GET includes HEAD, which tells less.
func (r *Rule) setMethods(word string) error {
	if err := once(len(r.Methods) > 0); err != nil {
		return err
	}
	methods := strings.Split(word, ",")
	for _, m := range methods {
		if m == "" || len(m) > maxMethod || m[0] == '-' || m[len(m)-1] == '-' {
			return ErrRuleMethod
		}
	}
	slices.Sort(methods)
	r.Methods = slices.Compact(methods)
	return nil
}

const (
	maxMethod = 32
	maxWord   = 64
)

// plainWord reports whether a word can be the name of a secret or a preset.
func plainWord(word string) bool {
	if word == "" || len(word) > maxWord {
		return false
	}
	for i := range len(word) {
		c := word[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return true
}

func setBudget(to *int64, text string, parse func(string) (int64, error)) error {
	if err := once(*to != 0); err != nil {
		return err
	}
	n, err := parse(text)
	*to = n
	return err
}

func parseCount(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || text[0] == '+' {
		return 0, ErrRuleBudget
	}
	return n, nil
}

// units of sizes, each 1024 of the one before.
const units = "BKMGT"

// parseSize reads "10MB", "512k" or a number of bytes.
func parseSize(text string) (int64, error) {
	upper := strings.ToUpper(text)
	digits := strings.TrimRight(upper, "BKMGTI")
	unit := upper[len(digits):]
	power := 0
	if unit != "" {
		power = strings.IndexByte(units, unit[0])
		if tail := unit[1:]; power < 0 || power == 0 && tail != "" || tail != "" && tail != "B" && tail != "IB" {
			return 0, ErrRuleBudget
		}
	}
	n, err := parseCount(digits)
	if err != nil || n > (1<<62)>>(10*power) {
		return 0, ErrRuleBudget
	}
	return n << (10 * power), nil
}

// formatSize is parseSize's shortest inverse.
func formatSize(n int64) string {
	power := 0
	for n%1024 == 0 && power < len(units)-1 {
		n /= 1024
		power++
	}
	text := strconv.FormatInt(n, 10)
	if power == 0 {
		return text
	}
	return text + units[power:power+1] + "B"
}
