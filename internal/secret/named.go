package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
)

// Way says how a secret travels in a request.
type Way string

// The ways there are.
const (
	WayHeader Way = "header" // Param: value
	WayBearer Way = "bearer" // Authorization: Bearer value
	WayBasic  Way = "basic"  // Authorization: Basic, Param before the colon
	WayQuery  Way = "query"  // ?Param=value
)

// Origin says where a secret's value comes from.
type Origin string

// The origins there are. All but the first are looked up at each start, and
// nothing of the value is stored.
const (
	OriginStored  Origin = "stored"
	OriginEnv     Origin = "env"
	OriginFile    Origin = "file"
	OriginCommand Origin = "command"
)

// Named is a secret of the person's own, for hosts of their choice.
type Named struct {
	Name   string
	Hosts  []string // in the spelling of policy.NormalizeHost
	Way    Way
	Param  string // the header, the user or the parameter
	Var    string // the variable inside that holds the placeholder
	Origin Origin
	From   string        // the variable, the file or the command
	Value  policy.Secret // when it is stored
	Added  time.Time
}

const (
	namedPrefix = "secret-"
	namedSuffix = ".json"
	maxNamed    = 64 // of a name, and of hosts
	// leastValue is the shortest secret: a shorter one is guessed, and could
	// not be masked where it is echoed.
	leastValue = 8
)

// Check makes a Named whole, or says what is wrong with it.
func (n Named) Check() (Named, error) {
	if !plainName(n.Name) {
		return n, fmt.Errorf("secret %q: a name is up to %d letters, digits, '-', '_' and '.', with a letter or digit first", n.Name, maxNamed)
	}
	if len(n.Hosts) == 0 || len(n.Hosts) > maxNamed {
		return n, fmt.Errorf("secret %q: it needs a host to go to", n.Name)
	}
	hosts := make([]string, len(n.Hosts))
	for i, host := range n.Hosts {
		var err error
		if hosts[i], err = policy.NormalizeHost(host); err != nil {
			return n, fmt.Errorf("secret %q: %w", n.Name, err)
		}
		if policy.Local(hosts[i]) {
			return n, fmt.Errorf("secret %q: localhost is the sandbox itself", n.Name)
		}
	}
	slices.Sort(hosts)
	n.Hosts = slices.Compact(hosts)
	if n.Var == "" {
		n.Var = variable(n.Name)
	}
	switch {
	case n.Way == WayHeader && !plainName(n.Param):
		return n, fmt.Errorf("secret %q: %q is no name of a header", n.Name, n.Param)
	case n.Way == WayBasic && (n.Param == "" || strings.ContainsFunc(n.Param, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' || r == '"' })):
		return n, fmt.Errorf("secret %q: %q is no user name", n.Name, n.Param)
	case n.Way == WayQuery && !plainName(n.Param):
		return n, fmt.Errorf("secret %q: %q is no name of a query parameter", n.Name, n.Param)
	case n.Origin != OriginStored && n.From == "":
		return n, fmt.Errorf("secret %q: it is not said which %s holds it", n.Name, n.Origin)
	}
	return n, nil
}

// variable is the variable of a secret that names none.
func variable(name string) string {
	v := strings.Map(func(r rune) rune {
		if r == '-' || r == '.' {
			return '_'
		}
		return unicode.ToUpper(r)
	}, name)
	if v[0] >= '0' && v[0] <= '9' {
		v = "_" + v
	}
	return v
}

func plainName(name string) bool {
	if name == "" || len(name) > maxNamed {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return true
}

// NewValue checks the value of a secret: what a header can carry, without the
// line end that files and programs put after it.
func NewValue(text string) (policy.Secret, error) {
	value := strings.TrimRight(text, "\r\n")
	switch {
	case value == "":
		return policy.Secret{}, errors.New("the value is empty")
	case len(value) < leastValue:
		return policy.Secret{}, fmt.Errorf("the value is shorter than %d characters", leastValue)
	case len(value) > maxValue:
		return policy.Secret{}, fmt.Errorf("the value is over %d bytes long", maxValue)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }), strings.TrimSpace(value) != value:
		return policy.Secret{}, errors.New("the value holds a control character, or blanks around it")
	}
	return policy.NewSecret(value), nil
}

// named is the form of the file.
type named struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	Hosts   []string  `json:"hosts"`
	Way     Way       `json:"way"`
	Param   string    `json:"param,omitempty"`
	Var     string    `json:"var"`
	Origin  Origin    `json:"origin"`
	From    string    `json:"from,omitempty"`
	Value   string    `json:"value,omitempty"`
	Added   time.Time `json:"added"`
}

// Put stores a secret in the place of one of the same name.
func (s Store) Put(n Named) error {
	n, err := n.Check()
	if err != nil {
		return sandbox.Fail(sandbox.CodeUsage, err, "see `agent-process secret add --help`")
	}
	data, err := json.Marshal(named{1, n.Name, n.Hosts, n.Way, n.Param, n.Var, n.Origin, n.From, n.Value.Reveal(), n.Added.UTC()})
	if err != nil {
		return fmt.Errorf("encode secret: %w", err)
	}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("store secret: %w", err)
	}
	if err := writePrivate(s.NamedFile(n.Name), data, s.UID); err != nil {
		return fmt.Errorf("store secret: %w", err)
	}
	return nil
}

// NamedFile is where a secret, or what is known of it, rests.
func (s Store) NamedFile(name string) string {
	return filepath.Join(s.Dir, namedPrefix+name+namedSuffix)
}

// Named gives one secret.
func (s Store) Named(name string) (Named, error) {
	if !plainName(name) {
		return Named{}, noSecret(name)
	}
	data, err := s.read(namedPrefix + name + namedSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Named{}, noSecret(name)
	case err != nil:
		return Named{}, sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("read the secret %q: %w", name, err),
			"it may have been read by others: revoke it, and add it again")
	}
	var f named
	// The error of a parser may quote what it parsed.
	if json.Unmarshal(data, &f) != nil || f.Version != 1 || f.Name != name {
		return Named{}, sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("the stored secret %q is damaged", name),
			"add it again: `agent-process secret add "+name+"`")
	}
	n := Named{f.Name, f.Hosts, f.Way, f.Param, f.Var, f.Origin, f.From, policy.NewSecret(f.Value), f.Added}
	return n.Check()
}

// ErrNoSecret is that there is no secret of a name.
var ErrNoSecret = errors.New("there is no secret")

func noSecret(name string) error {
	return sandbox.Fail(sandbox.CodeCredential, fmt.Errorf("%w %q", ErrNoSecret, name),
		"`agent-process secret list` shows those there are, `agent-process secret add` adds one")
}

// AllNamed gives all secrets, by name.
func (s Store) AllNamed() ([]Named, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	var all []Named
	for _, e := range entries {
		name, isFirst := strings.CutPrefix(e.Name(), namedPrefix)
		name, isLast := strings.CutSuffix(name, namedSuffix)
		if !isFirst || !isLast {
			continue
		}
		n, err := s.Named(name)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// Forget removes a secret.
func (s Store) Forget(name string) error {
	if !plainName(name) {
		return noSecret(name)
	}
	err := os.Remove(s.NamedFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return noSecret(name)
	}
	return err
}
