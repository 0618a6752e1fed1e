package proxy

import (
	"sync"

	"agentprocess/internal/policy"
)

// uses counts what passed under rules that bound how often: requests of hosts
// that are opened and of plain HTTP, connections of all others.
type uses struct {
	mu    sync.Mutex
	count map[string]int64 // by rule
	bytes map[string]*meter
}

// spent reports whether a rule has no use, or no bytes, left.
func (u *uses) spent(r policy.Rule) bool {
	if u.spentBytes(r) {
		return true
	}
	if r.Budget.Requests == 0 {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count[useKey(r)] >= r.Budget.Requests
}

// take uses a rule once, if there is a use left.
func (u *uses) take(r policy.Rule) bool {
	if r.Budget.Requests == 0 {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.count[useKey(r)] >= r.Budget.Requests {
		return false
	}
	if u.count == nil {
		u.count = map[string]int64{}
	}
	u.count[useKey(r)]++
	return true
}

// giveBack undoes take.
func (u *uses) giveBack(r policy.Rule) {
	if r.Budget.Requests == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count[useKey(r)]--
}

// useKey tells rules apart: the same words in another place are another rule.
func useKey(r policy.Rule) string { return r.String() + "\x00" + r.Where() }
