package proof

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"agentprocess/internal/audit"
)

// closed is a report in which every way out is shut, and what a gateway
// records meanwhile.
func closed(t *testing.T) (Plan, Report, []audit.Request) {
	t.Helper()
	p, err := NewPlan(bytes.NewReader([]byte("twelve bytes and more")))
	if err != nil {
		t.Fatal(err)
	}
	r := Report{Nonce: p.Nonce, Attempts: []Attempt{
		{Check: CheckName, Target: p.Host + ":443", Result: Denied},
		{Check: CheckRaw4, Target: p.tcpTarget(raw4), Result: Closed},
		{Check: CheckRaw6, Target: p.tcpTarget(raw6), Result: Closed},
		{Check: CheckUDP4, Result: Local},
		{Check: CheckUDP6, Result: NoRoute},
		{Check: CheckDNS, Result: Denied},
		{Check: CheckDNSRaw, Result: Denied},
		{Check: CheckInterfaces, Result: NoRoute},
	}}
	seen := []audit.Request{
		{Host: p.Host, Port: 443, Verdict: audit.Deny},
		{Host: raw4, Port: p.Port, Verdict: audit.Deny},
		{Host: raw6, Port: p.Port, Verdict: audit.Deny},
	}
	return p, r, seen
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*Report, *[]audit.Request)
		want  string // part of the check that is named; empty means closed
	}{
		{"all closed", func(*Report, *[]audit.Request) {}, ""},
		{"a check is missing", func(r *Report, _ *[]audit.Request) { r.Attempts = r.Attempts[1:] }, CheckName},
		{"the name got through", func(r *Report, _ *[]audit.Request) { r.Attempts[0].Result = Open }, CheckName},
		{"a raw address answered", func(r *Report, _ *[]audit.Request) { r.Attempts[1].Result = Open }, CheckRaw4},
		{"IPv6 answered", func(r *Report, _ *[]audit.Request) { r.Attempts[2].Result = Open }, CheckRaw6},
		{"a datagram vanished", func(r *Report, _ *[]audit.Request) { r.Attempts[3].Result = Open }, CheckUDP4},
		{"a name resolved", func(r *Report, _ *[]audit.Request) { r.Attempts[5].Result = Open }, CheckDNS},
		{"a foreign resolver answered", func(r *Report, _ *[]audit.Request) { r.Attempts[6].Result = Open }, CheckDNSRaw},
		{"another interface is up", func(r *Report, _ *[]audit.Request) { r.Attempts[7].Result = Open }, CheckInterfaces},
		{"only the resolver denied", func(_ *Report, s *[]audit.Request) { (*s)[0].Path = "dns" }, CheckName},
		{"a result of another check", func(r *Report, _ *[]audit.Request) { r.Attempts[0].Result = NoRoute }, CheckName},
		{"closed by somebody else", func(_ *Report, s *[]audit.Request) { *s = (*s)[:1] }, CheckRaw4},
		{"denied by somebody else", func(_ *Report, s *[]audit.Request) { *s = (*s)[1:] }, CheckName},
		{"another run's answer", func(r *Report, _ *[]audit.Request) { r.Nonce = "old" }, "run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, r, seen := closed(t)
			tt.spoil(&r, &seen)
			err := Judge(p, r, seen)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("Judge: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("Judge = %v, want it to name %q", err, tt.want)
			}
		})
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(`{"nonce":"a","attempts":[{"check":"raw IPv4 address","result":"open"}]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseReport(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseReport(again); err != nil {
			t.Fatal(err)
		}
		if Judge(Plan{Nonce: "never"}, r, nil) == nil {
			t.Fatal("a report without the run's nonce was believed")
		}
	})
}
