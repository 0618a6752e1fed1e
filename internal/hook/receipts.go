package hook

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"agentprocess/internal/audit"
)

// maxReceipts bounds how many calls of one run are remembered. A run that has
// more is denied the rest.
const maxReceipts = 200_000

// What can be wrong between the transcript and the receipts. Each ends a run.
var (
	// ErrNoReceipt is a result of a tool call that was never judged.
	ErrNoReceipt = errors.New("tool call without a verdict")
	// ErrInputDiffers is a call that was judged with another input than the
	// transcript has.
	ErrInputDiffers = errors.New("tool call judged with another input")
	// ErrLateReceipt is a call that was judged after its result was there.
	ErrLateReceipt = errors.New("tool call judged after its result")
	// ErrJudgedTwice is a call that somebody asked about again: the CLI asks
	// once.
	ErrJudgedTwice = errors.New("tool call judged twice")
	// ErrNotModified is a call that was allowed with another input than its own
	// and is not known to have run with that.
	ErrNotModified = errors.New("tool call not known to have run with the input it was allowed with")
	// ErrIgnoredDenial is a call that has a result although it was denied.
	ErrIgnoredDenial = errors.New("denied tool call has a result")
	// ErrUnjudged is a call that has neither a verdict nor a result when its
	// agent has ended.
	ErrUnjudged = errors.New("tool call without a verdict or a result")
	// ErrTooMany is a run with more calls than can be tracked.
	ErrTooMany = errors.New("too many tool calls to track")
)

// errNoObject is an input that no tool takes.
var errNoObject = errors.New("tool input is not an object")

// Receipts compares what the transcript shows with what was judged. It is safe
// for concurrent use.
//
// The CLI fixes up a tool's input between transcript and hook: it makes paths
// absolute, turns "5" into 5 where a number belongs and adds defaults. So each
// field of the transcript's input must have been judged with the same value in
// that sense; more fields may have been.
//
// The endpoint is open to everything inside, so the hook of a call can be
// killed, which lets the tool run, and questions can be forged. What comes of
// it:
//
//   - Nobody asked: ErrNoReceipt with the result.
//   - A forged question first, before or instead of the hook's: the hook's is
//     refused with ErrJudgedTwice. With another input than the transcript's:
//     ErrInputDiffers. Afterwards: ErrLateReceipt.
//   - A forged question with the same input instead of a killed hook's: an
//     allow is what the hook would have got; a denial is ErrIgnoredDenial,
//     because only the CLI's own words for a stopped call count as one.
//   - A result that claims that the tool never ran: the CLI's report that it
//     ran, if it is not kept from us, says otherwise (ErrNoReceipt,
//     ErrIgnoredDenial).
//   - An agent that ends before the result: ErrUnjudged.
//   - A modified input that never reached the CLI: ErrNotModified, unless the
//     CLI's report of the tool's end is forged as well.
//
// So a forger cannot allow a call, but can end the run as broken. That is no
// more than who can kill the agent has anyway, and who tampers with the policy
// should not go on.
type Receipts struct {
	home string

	mu    sync.Mutex
	calls map[string]*call
}

// call is what is known of one tool_use_id.
type call struct {
	judged   bool
	denied   bool
	returned bool
	modified fields          // what it was allowed with instead, until it ran with it
	dir      string          // of the hook
	fields   fields          // as judged
	shown    json.RawMessage // by the transcript, until it was compared
}

// NewReceipts makes an empty set. home is the home directory inside, which ~
// in a path stands for.
func NewReceipts(home string) *Receipts {
	return &Receipts{home: home, calls: map[string]*call{}}
}

// Observe takes the transcript's payloads as they come. An error means the run
// must be stopped.
func (r *Receipts) Observe(p audit.Payload) error {
	switch p := p.(type) {
	case audit.ToolCall:
		return r.called(p.ID, p.Input)
	case audit.ToolResult:
		return r.result(p)
	default:
		return nil
	}
}

// Ended says what is open when the agent has ended by itself: calls that it
// showed, that nobody judged, and whose result nobody saw. They may have run.
func (r *Receipts) Ended() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open []string
	for id, c := range r.calls {
		if c.shown != nil && !c.judged && !c.returned {
			open = append(open, id)
		}
	}
	if len(open) == 0 {
		return nil
	}
	slices.Sort(open)
	return fmt.Errorf("%w: %q", ErrUnjudged, open[:min(len(open), maxNamed)])
}

// maxNamed is how many calls an error names.
const maxNamed = 5

// Check says whether the tool call was judged with this input.
func (r *Receipts) Check(toolUseID string, input json.RawMessage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.calls[toolUseID]
	if !ok || !c.judged {
		return fmt.Errorf("%w: %q", ErrNoReceipt, toolUseID)
	}
	return r.compare(toolUseID, c, input)
}

// add notes a verdict. It is called before the verdict is answered.
func (r *Receipts) add(from Call, d Decision) error {
	judged, err := r.fieldsOf(from.Input, from.Dir)
	if err != nil {
		return err
	}
	var modified fields
	if d.Allow && d.Input != nil {
		if modified, err = r.fieldsOf(d.Input, from.Dir); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.entry(from.ToolUseID)
	switch {
	case err != nil:
		return err
	case c.judged && !c.returned:
		// Whoever asked first, nothing that was asked twice is allowed.
		c.denied = true
		return fmt.Errorf("%w: %q", ErrJudgedTwice, from.ToolUseID)
	case c.returned:
		return fmt.Errorf("%w: %q", ErrLateReceipt, from.ToolUseID)
	}
	c.judged, c.denied = true, !d.Allow
	c.dir, c.fields, c.modified = from.Dir, judged, modified
	if c.shown == nil {
		return nil
	}
	shown := c.shown
	c.shown = nil
	if err := r.compare(from.ToolUseID, c, shown); err != nil {
		c.denied = true
		return err
	}
	return nil
}

// deny notes that a verdict was answered with a denial after all.
func (r *Receipts) deny(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.calls[id]; ok && !c.returned {
		c.denied = true
	}
}

// ran notes the input that a tool has run with, which the CLI tells before it
// shows the result. One that ran although nobody allowed it is an error, which
// no result can talk its way out of.
func (r *Receipts) ran(from Call) error {
	with, err := r.fieldsOf(from.Input, from.Dir)
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.calls[from.ToolUseID]
	switch {
	case c == nil || !c.judged:
		return fmt.Errorf("%w: %q has run", ErrNoReceipt, from.ToolUseID)
	case c.denied:
		return fmt.Errorf("%w: %q has run", ErrIgnoredDenial, from.ToolUseID)
	case err == nil && with.covers(c.modified): // else it counts as not told
		c.modified = nil
	}
	return nil
}

func (r *Receipts) called(id string, input json.RawMessage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.entry(id)
	switch {
	case err != nil:
		return err
	case c.returned:
		return nil // a repeated line
	case !c.judged:
		c.shown = input // the hook may still be on its way
		return nil
	}
	return r.compare(id, c, input)
}

// neverRan are the beginnings of results that the CLI gives without asking a
// hook, because it does not run the tool: an unknown tool, an input that does
// not fit, a file not read before, a turn that was cut short. A tool that ran
// and failed begins otherwise: "Exit code 1" before all of its own output.
func neverRan() []string {
	return []string{
		"<tool_use_error>",
		"[Request interrupted by user",
		"The user doesn't want to ",
	}
}

var (
	// hookDenied is the result of a call that a hook has stopped; when it was
	// the client that failed, there is no receipt.
	hookDenied = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^PreToolUse:\S+ hook error: \[`) })
	// misfit is the result of a call whose modified input the CLI refused.
	misfit = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^PreToolUse hook for \S+ returned updatedInput that failed schema validation: `)
	})
)

// stopped says whether a result is the CLI's word that the tool did not run.
func stopped(p audit.ToolResult) bool {
	return p.IsError && (hookDenied().MatchString(p.Text) ||
		slices.ContainsFunc(neverRan(), func(prefix string) bool { return strings.HasPrefix(p.Text, prefix) }))
}

func (r *Receipts) result(p audit.ToolResult) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.entry(p.ID)
	if err != nil {
		return err
	}
	was := *c
	*c = call{judged: was.judged, denied: was.denied, returned: true} // the input is not needed any more
	switch {
	case was.returned && was.judged || stopped(p):
		return nil // a repeated line; nothing ran
	case !was.judged:
		return fmt.Errorf("%w: %q", ErrNoReceipt, p.ID)
	case was.denied:
		return fmt.Errorf("%w: %q", ErrIgnoredDenial, p.ID)
	case was.modified != nil && (!p.IsError || !misfit().MatchString(p.Text)):
		return fmt.Errorf("%w: %q", ErrNotModified, p.ID)
	}
	return nil
}

func (r *Receipts) entry(id string) (*call, error) {
	if c, ok := r.calls[id]; ok {
		return c, nil
	}
	if len(r.calls) >= maxReceipts || len(id) > maxField {
		return nil, fmt.Errorf("%w: over %d", ErrTooMany, maxReceipts)
	}
	c := &call{}
	r.calls[id] = c
	return c, nil
}

// compare says whether the input the transcript shows was judged.
func (r *Receipts) compare(id string, c *call, input json.RawMessage) error {
	shown, err := r.fieldsOf(input, c.dir)
	if err != nil {
		return fmt.Errorf("%w: %q: %w", ErrInputDiffers, id, err)
	}
	if !c.fields.covers(shown) {
		return fmt.Errorf("%w: %q", ErrInputDiffers, id)
	}
	return nil
}

// fields are the parts of a tool's input, each as the hash of its plain form.
type fields map[string][sha256.Size]byte

// covers says whether f has every field of g, with the same value.
func (f fields) covers(g fields) bool {
	for name, sum := range g {
		if f[name] != sum {
			return false
		}
	}
	return true
}

// maxFields bounds the fields of one input that are told apart.
const maxFields = 256

func (r *Receipts) fieldsOf(input json.RawMessage, dir string) (fields, error) {
	v, err := decode(input)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errNoObject
	}
	if len(m) > maxFields {
		m = map[string]any{"": m}
	}
	out := make(fields, len(m))
	for name, e := range m {
		if e == nil {
			continue // null and absent are the same to the CLI
		}
		data, err := encode(r.plain(name, e, dir))
		if err != nil {
			return nil, err
		}
		out[name] = sha256.Sum256(data)
	}
	return out, nil
}

// plain is v with paths made absolute, nulls left out, and numbers and truth
// values as the strings that spell them.
func (r *Receipts) plain(name string, v any, dir string) any {
	switch v := v.(type) {
	case string:
		if name == "file_path" || name == "notebook_path" || name == "path" {
			return r.absolute(v, dir)
		}
		return v
	case json.Number:
		return number(v)
	case bool:
		if v {
			return "true"
		}
		return "false"
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if e != nil {
				out[k] = r.plain(k, e, dir)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = r.plain("", e, dir)
		}
		return out
	default:
		return v
	}
}

func (r *Receipts) absolute(p, dir string) string {
	p = strings.TrimSpace(p)
	switch {
	case p == "~":
		return path.Clean(r.home)
	case strings.HasPrefix(p, "~/"):
		return path.Join(r.home, p[2:])
	case path.IsAbs(p):
		return path.Clean(p)
	default:
		return path.Join(dir, p)
	}
}
