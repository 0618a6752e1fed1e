package secret

import (
	"errors"
	"regexp"
	"strings"
	"sync"

	"agentprocess/internal/policy"
)

// minToken and maxToken bound a token of `claude setup-token`; it has 108
// bytes.
const (
	minToken = 60
	maxToken = 512
)

// ErrNoToken is that the output holds no token.
var ErrNoToken = errors.New("`claude setup-token` has printed no token")

// control matches what a terminal does not show: escape sequences of every
// kind, and control characters other than line ends.
var control = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\x1b\[[0-9:;<=>?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]`)
})

var (
	// tokenStart finds a token up to the end of its line.
	tokenStart = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`sk-ant-oat\d\d-[A-Za-z0-9_-]*`) })
	// tokenRest is a line that a wrapped token goes on in.
	tokenRest = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_-]+$`) })
)

// ParseSetupToken finds the token in what `claude setup-token` printed on a
// terminal. A token that the terminal's edge has cut in lines is put together.
func ParseSetupToken(output []byte) (policy.Secret, error) {
	text := control().ReplaceAllString(string(output), "")
	lines := strings.FieldsFunc(strings.ReplaceAll(text, "\r\n", "\n"), func(r rune) bool { return r == '\r' })
	lines = strings.Split(strings.Join(lines, "\n"), "\n")
	best := ""
	for i, line := range lines {
		at := tokenStart().FindStringIndex(line)
		if at == nil {
			continue
		}
		token := line[at[0]:at[1]]
		if strings.TrimSpace(line[at[1]:]) == "" {
			token = joined(token, at[1], lines[i+1:])
		}
		// Screens are drawn more than once, the first time perhaps in part.
		if len(token) > len(best) && len(token) <= maxToken {
			best = token
		}
	}
	if len(best) < minToken {
		return policy.Secret{}, ErrNoToken
	}
	return policy.NewSecret(best), nil
}

// joined adds the lines that a token which fills its line goes on in. width is
// where its first line ended: only a full line is cut by the edge, so the last
// part is the first shorter one.
func joined(token string, width int, rest []string) string {
	for _, line := range rest {
		line = strings.TrimSpace(line)
		if !tokenRest().MatchString(line) || len(line) > width || len(token)+len(line) > maxToken {
			break
		}
		token += line
		if len(line) < width {
			break
		}
	}
	return token
}
