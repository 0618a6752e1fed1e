package inspect

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Finding is a secret that stands in a file.
type Finding struct {
	Rule   string // what it is, such as "a GitHub token"
	Line   int    // 0 when it is the file as a whole
	Secret string // the text itself: never to be shown or recorded
}

// Reason says what was found, without the secret.
func (f Finding) Reason() string {
	if f.Line == 0 {
		return f.Rule
	}
	return fmt.Sprintf("%s on line %d", f.Rule, f.Line)
}

// Scanner looks for secrets.
type Scanner struct {
	policy Policy
	rules  []compiled
}

// compiled is a rule that is ready to run.
type compiled struct {
	rule
	re *regexp.Regexp
}

// NewScanner makes a Scanner.
func NewScanner(p Policy) *Scanner {
	s := &Scanner{policy: p}
	for _, r := range rules() {
		s.rules = append(s.rules, compiled{rule: r, re: regexp.MustCompile(`\A(?:` + r.pattern + `)`)})
	}
	return s
}

// The window that is scanned at a time, and what it has in common with the one
// before: no secret is longer.
const (
	window  = 1 << 20
	overlap = 16 << 10
)

// maxFindings bounds what is told of one file.
const maxFindings = 100

// Scan looks for secrets in the content of a file.
func (s *Scanner) Scan(name string, data []byte) []Finding {
	if s.policy.allowed(name) {
		return nil
	}
	data = plain(data)
	var all []Finding
	line := 1
	for {
		part := data[:min(len(data), window)]
		all = append(all, s.scan(part, line)...)
		if len(part) == len(data) || len(all) >= maxFindings {
			break
		}
		line += bytes.Count(part[:window-overlap], []byte("\n"))
		data = data[window-overlap:]
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return slices.CompactFunc(all, func(a, b Finding) bool { return a.Line == b.Line && a.Secret == b.Secret })
}

// plain undoes UTF-16, as far as patterns of ASCII need it.
func plain(data []byte) []byte {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return bytes.ReplaceAll(data, []byte{0}, nil)
	}
	return data
}

// longest is how much of a text one expression looks at.
const longest = 8 << 10

// scan looks through one window, whose first line has a number. Expressions are
// tried only where a word of theirs stands: looking for words is a hundred times
// as fast.
func (s *Scanner) scan(data []byte, first int) []Finding {
	var found []Finding
	lower := lowered(data)
	for _, r := range s.rules {
		for _, w := range r.words {
			for at := 0; at < len(data) && len(found) < maxFindings; at += len(w) {
				i := bytes.Index(lower[at:], []byte(w))
				if i < 0 {
					break
				}
				at += i
				if text := r.at(data, at, len(w)); text != "" {
					found = append(found, Finding{Rule: r.name, Line: first + bytes.Count(data[:at], []byte("\n")), Secret: text})
				}
			}
		}
	}
	return found
}

// lowered is data with the letters of ASCII in lower case: those of Unicode may
// change their length.
func lowered(data []byte) []byte {
	out := bytes.Clone(data)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

// at is the secret that begins with a word, or for general rules follows it;
// empty when there is none.
func (r compiled) at(data []byte, at, word int) string {
	switch {
	case r.check != nil:
		at += word
	case at > 0 && isWord(data[at]) && isWord(data[at-1]):
		return "" // in the middle of something else
	}
	part := data[at:min(len(data), at+longest)]
	if i := bytes.IndexByte(part, '\n'); i >= 0 && r.check != nil {
		part = part[:i+1] // those stay on a line: an expression pays for what it is given
	}
	m := r.re.FindSubmatchIndex(part)
	if m == nil {
		return ""
	}
	text := string(part[m[0]:m[1]])
	if len(m) > 3 && m[2] >= 0 {
		text = string(part[m[2]:m[3]])
	}
	if placeholder(text) || entropy(text) < r.entropy || r.check != nil && !r.check(text) {
		return ""
	}
	return text
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// entropy is how many bits a byte of s carries, by Shannon.
func entropy(s string) float64 {
	var counts [256]int
	for i := range len(s) {
		counts[s[i]]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(s))
			bits -= p * math.Log2(p)
		}
	}
	return bits
}

// placeholder reports whether a text stands for a secret and is none: what
// documentation, templates and tests are full of.
func placeholder(s string) bool {
	lower := strings.ToLower(s)
	for _, w := range []string{
		"example", "placeholder", "changeme", "change-me", "change_me", "your-", "your_", "yourkey", "yoursecret", "dummy", "redacted", "xxxx", "****",
		"....", "${", "{{", "<%", "%s", "%v", "insert", "notasecret", "not-a-secret", "1234567890", "abcdefgh", "00000000", "deadbeef",
	} {
		if strings.Contains(lower, w) {
			return true
		}
	}
	return strings.HasPrefix(s, "$") || strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">")
}

// SecretFile says why a file is one that exists to hold secrets, whatever is
// in it; empty when it is not.
func (s *Scanner) SecretFile(name string) string {
	base := strings.ToLower(path.Base(name))
	if s.policy.allowed(name) || slices.ContainsFunc(templates(), func(t string) bool { return strings.HasSuffix(base, t) }) {
		return ""
	}
	lower := strings.ToLower(name)
	for _, f := range secretFiles() {
		for _, pattern := range f.patterns {
			on := base
			if strings.Contains(pattern, "/") {
				on = lower[max(0, len(lower)-len(pattern)):]
			}
			if ok, err := path.Match(pattern, on); ok && err == nil && (on == base || len(on) == len(lower) || lower[len(lower)-len(on)-1] == '/') {
				return f.what
			}
		}
	}
	return ""
}

// templates are ends of names of files that show what a file of secrets would
// look like.
func templates() []string {
	return []string{".example", ".sample", ".template", ".tmpl", ".tpl", ".dist", ".defaults", ".schema", ".md", ".pub"}
}

// secretFile names files by the patterns of their last component, or of the
// end of their path.
type secretFile struct {
	what     string
	patterns []string
}

func secretFiles() []secretFile {
	return []secretFile{
		{"a file of environment secrets", []string{".env", ".env.*", "*.env", ".envrc.local"}},
		{"a private key", []string{"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_*_sk", "*.ppk", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx"}},
		{"a file of passwords", []string{".netrc", "_netrc", ".git-credentials", ".pgpass", ".my.cnf", ".htpasswd", ".dockercfg", ".vault-token"}},
		{"a client's credentials", []string{
			".aws/credentials", ".docker/config.json", ".kube/config", ".config/gh/hosts.yml", ".config/gcloud/credentials.db", "application_default_credentials.json",
			"terraform.tfstate", "terraform.tfstate.backup", ".claude/.credentials.json", ".codex/auth.json",
		}},
	}
}
