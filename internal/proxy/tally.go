package proxy

import (
	"sync/atomic"

	"agentprocess/internal/policy"
)

// meter is what passed under a rule that bounds bytes, in all its connections
// and requests.
type meter struct{ up, down atomic.Int64 }

// tally counts what a flow passes one way. When the rule by which the flow is
// allowed bounds that, what would exceed the bound does not pass.
type tally struct {
	passed atomic.Int64
	bound  atomic.Pointer[bound]
	cut    atomic.Pointer[denied] // why it ended, when the bound did it
}

type bound struct {
	used  *atomic.Int64
	most  int64
	spent *denied
}

// Load is what passed.
func (t *tally) Load() int64 { return t.passed.Load() }

// bounded reports whether there is a bound.
func (t *tally) bounded() bool { return t.bound.Load() != nil }

// pass counts bytes that are about to go on; they must not when it errs.
func (t *tally) pass(n int) error {
	if b := t.bound.Load(); b != nil && n > 0 && b.used.Add(int64(n)) > b.most {
		t.cut.Store(b.spent)
		return b.spent
	}
	t.passed.Add(int64(n))
	return nil
}

// bind puts a flow under the bounds of its rule.
func (u *uses) bind(f *flow, r policy.Rule) {
	if r.Budget.Up == 0 && r.Budget.Down == 0 {
		return
	}
	m := u.meter(r)
	spent := refusal(policy.SpentReason(r.Cite()))
	if r.Budget.Up > 0 {
		f.up.bound.Store(&bound{&m.up, r.Budget.Up, spent})
	}
	if r.Budget.Down > 0 {
		f.down.bound.Store(&bound{&m.down, r.Budget.Down, spent})
	}
}

func (u *uses) meter(r policy.Rule) *meter {
	u.mu.Lock()
	defer u.mu.Unlock()
	m := u.bytes[useKey(r)]
	if m == nil {
		m = &meter{}
		if u.bytes == nil {
			u.bytes = map[string]*meter{}
		}
		u.bytes[useKey(r)] = m
	}
	return m
}

// spentBytes reports whether nothing more may pass one of the ways.
func (u *uses) spentBytes(r policy.Rule) bool {
	if r.Budget.Up == 0 && r.Budget.Down == 0 {
		return false
	}
	m := u.meter(r)
	return r.Budget.Up > 0 && m.up.Load() >= r.Budget.Up || r.Budget.Down > 0 && m.down.Load() >= r.Budget.Down
}
