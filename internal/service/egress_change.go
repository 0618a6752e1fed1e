package service

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
)

// Scope is for how long a change of what an agent may reach counts.
type Scope string

// The scopes there are.
const (
	ScopeOnce    Scope = "once"    // one connection, or one request where requests are judged
	ScopeRun     Scope = "run"     // until the agent ends, also when it is resumed
	ScopeProject Scope = "project" // that, and a line in the project's allowlist
)

// change is a line of the file in a run's directory by which a person changes
// what the run may reach. Nothing inside the sandbox can reach that file.
type change struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Action string    `json:"action"` // audit.Allow or audit.Deny
	Rule   string    `json:"rule"`
	Scope  Scope     `json:"scope"`
}

const (
	changesFile = "changes.jsonl"
	// maxChange and maxChanges bound one change and all of them, in bytes.
	maxChange  = 8 << 10
	maxChanges = 1 << 20
)

// What can be wrong with a change.
var (
	errChangeID    = errors.New("it has no id of ours")
	errChangeBy    = errors.New("it does not say who asks, and when")
	errChangeWord  = errors.New(`its action is "allow" or "deny", its scope "once", "run" or "project"`)
	errChangeRule  = errors.New("it must be one rule that names a host")
	errChangeDeny  = errors.New("a deny line cannot be allowed: allow what it denies, which takes back one that was added while the agent runs")
	errChangeOnce  = errors.New("a deny line cannot count once")
	errChangeShape = errors.New("it is no change")
)

// isChangeID is an id of a change.
var isChangeID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^ch-[0-9a-z]{8}$`) })

func newChangeID() string { return "ch-" + strings.ToLower(rand.Text()[:8]) }

// parseChange reads one line of the file, and what it asks for.
func parseChange(line []byte) (change, policy.Rule, error) {
	var c change
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil || dec.More() {
		return change{}, policy.Rule{}, errChangeShape
	}
	r, err := c.rule()
	return c, r, err
}

// rule checks a change and gives the line that it adds.
func (c change) rule() (policy.Rule, error) {
	deny := c.Action == audit.Deny
	switch {
	case !isChangeID().MatchString(c.ID):
		return policy.Rule{}, errChangeID
	case c.By == "" || len(c.By) > 200 || c.At.IsZero():
		return policy.Rule{}, errChangeBy
	case !deny && c.Action != audit.Allow, c.Scope != ScopeOnce && c.Scope != ScopeRun && c.Scope != ScopeProject:
		return policy.Rule{}, errChangeWord
	case deny && c.Scope == ScopeOnce:
		return policy.Rule{}, errChangeOnce
	}
	return parseLive(c.Rule, deny)
}

// parseLive reads the one rule of a change; that it denies need not be said.
func parseLive(text string, deny bool) (policy.Rule, error) {
	rules, err := policy.ParseRules("rule", text)
	switch {
	case err != nil:
		return policy.Rule{}, err
	case len(rules) != 1 || rules[0].Preset != "":
		return policy.Rule{}, errChangeRule
	case rules[0].Deny && !deny:
		return policy.Rule{}, errChangeDeny
	case rules[0].Deny || !deny:
		return rules[0], nil
	}
	// As a deny line it is about every port unless it names some.
	if rules, err = policy.ParseRules("rule", "deny "+rules[0].Text); err != nil {
		return policy.Rule{}, err
	}
	return rules[0], nil
}

// appendChange adds a change to the file of a run that is alive.
func appendChange(runDir string, c change) error {
	if _, err := c.rule(); err != nil {
		return err
	}
	line, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode change: %w", err)
	}
	if len(line) > maxChange {
		return fmt.Errorf("%w: %d bytes are too many", errChangeRule, len(line))
	}
	f, err := os.OpenFile(filepath.Join(runDir, changesFile), os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open the run's changes: %w", err)
	}
	err = writeChange(f, line)
	return errors.Join(err, f.Close())
}

// writeChange writes a line, whole or not at all: what a full disk left of it
// is taken back, so that the next one starts on a line of its own.
func writeChange(f *os.File, line []byte) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock the run's changes: %w", err)
	}
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("write change: %w", err)
	}
	if at+int64(len(line)) >= maxChanges {
		return fmt.Errorf("write change: the run has had changes for %d bytes, which is the limit; `agent-process resume` begins anew", at)
	}
	if _, err = f.Write(append(line, '\n')); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write change: %w", err), f.Truncate(at))
	}
	return nil
}

// changes reads what is appended to the file of a run.
type changes struct {
	file *os.File
	at   int64  // how much of it was read
	part []byte // of a line that has no end yet
}

// newChanges makes the file of a new run, which only its user can open.
func newChanges(runDir string) (*changes, error) {
	f, err := os.OpenFile(filepath.Join(runDir, changesFile), os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the run's changes: %w", err)
	}
	return &changes{file: f}, nil
}

// errChangesCut is a file that became shorter: nobody of ours does that.
var errChangesCut = errors.New("the file of changes was cut short or is too long; what it says now counts for nothing")

// next gives the lines that were added since, and nothing when there are none.
func (c *changes) next() ([][]byte, error) {
	info, err := c.file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the run's changes: %w", err)
	case info.Size() < c.at, info.Size() > maxChanges:
		return nil, errChangesCut
	case info.Size() == c.at:
		return nil, nil
	}
	data := make([]byte, info.Size()-c.at)
	n, err := c.file.ReadAt(data, c.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the run's changes: %w", err)
	}
	c.at += int64(n)
	lines := bytes.Split(append(c.part, data[:n]...), []byte("\n"))
	c.part = bytes.Clone(lines[len(lines)-1])
	return lines[:len(lines)-1], nil
}

func (c *changes) close() error { return c.file.Close() }
