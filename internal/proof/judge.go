package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"agentprocess/internal/audit"
)

// maxReport bounds what the inside may print, in bytes.
const maxReport = 64 << 10

// ParseReport reads what Main printed. It comes from inside and is judged,
// never believed.
func ParseReport(data []byte) (Report, error) {
	if len(data) > maxReport {
		return Report{}, fmt.Errorf("proof report of %d bytes, at most %d are read", len(data), maxReport)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("proof report: %w", err)
	}
	return r, nil
}

// Witnessed is how many attempts of the report the gateway must have seen as
// connections.
func (r Report) Witnessed() int {
	n := 0
	for _, a := range r.Attempts {
		if a.Check == CheckName || a.Result == Closed {
			n++
		}
	}
	return n
}

// accepted are the results that close a check; whatever is not here is open.
func accepted(check string) []Result {
	switch check {
	case CheckName:
		return []Result{Denied}
	case CheckRaw4, CheckRaw6:
		return []Result{NoRoute, Closed}
	case CheckUDP4, CheckUDP6:
		return []Result{NoRoute, Local}
	case CheckDNS:
		return []Result{Denied}
	case CheckDNSRaw:
		return []Result{NoRoute, Denied}
	default:
		return []Result{NoRoute}
	}
}

// checks are all that a report must hold.
func checks() []string {
	return []string{CheckName, CheckRaw4, CheckRaw6, CheckUDP4, CheckUDP6, CheckDNS, CheckDNSRaw, CheckInterfaces}
}

// Judge says which way out is open, or nil. seen are the requests that the
// gateway has recorded so far.
func Judge(p Plan, r Report, seen []audit.Request) error {
	if r.Nonce != p.Nonce {
		return fmt.Errorf("the proof answered for run %q, not %q", r.Nonce, p.Nonce)
	}
	byCheck := map[string]Attempt{}
	for _, a := range r.Attempts {
		byCheck[a.Check] = a
	}
	var errs []error
	for _, check := range checks() {
		a, ok := byCheck[check]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: was not tried", check))
			continue
		}
		errs = append(errs, p.judge(a, seen))
	}
	return errors.Join(errs...)
}

// judge holds one attempt against what the gateway saw.
func (p Plan) judge(a Attempt, seen []audit.Request) error {
	if !slices.Contains(accepted(a.Check), a.Result) {
		return fmt.Errorf("%s (%s) is %s: %s", a.Check, a.Target, a.Result, a.Detail)
	}
	switch {
	case a.Check == CheckName && !p.recorded(seen, p.Host):
		return fmt.Errorf("%s (%s): somebody refused it, but not our gateway", a.Check, a.Target)
	case a.Result == Closed && !p.recordedAddr(seen, a.Target):
		return fmt.Errorf("%s (%s): somebody closed it, but not our gateway", a.Check, a.Target)
	}
	return nil
}

// recorded reports whether the gateway denied a connection to host. That its
// resolver denied the same name says nothing about who the proxy is.
func (p Plan) recorded(seen []audit.Request, host string) bool {
	for _, r := range seen {
		if r.Host == host && r.Path != "dns" && r.Verdict == audit.Deny {
			return true
		}
	}
	return false
}

// recordedAddr reports whether the gateway denied a raw address.
func (p Plan) recordedAddr(seen []audit.Request, target string) bool {
	want, err := netip.ParseAddrPort(target)
	if err != nil {
		return false
	}
	for _, r := range seen {
		addr, err := netip.ParseAddr(r.Host)
		if err == nil && addr == want.Addr() && r.Port == want.Port() && r.Verdict == audit.Deny {
			return true
		}
	}
	return false
}

// Canary reports whether a recorded request belongs to the proof, so that it
// is not shown to people as a denial.
func (p Plan) Canary(r audit.Request) bool {
	return r.Host == p.Host || (r.Port == p.Port && (r.Host == raw4 || r.Host == raw6))
}
