package policy

import (
	"net/http"
	"testing"
)

// What is let through to be learned is what a line could allow; what a line
// denies, what no line could allow, and what is not the web on its ports is not.
func TestLearning(t *testing.T) {
	t.Parallel()
	set := mustParse(t, "a.example GET\ndeny b.example\nc.example max-requests=1").Learning()
	for _, tt := range []struct {
		name string
		q    Request
		fix  string // what is learned
		ok   bool
	}{
		{"listed", Request{Host: "a.example", Port: 443}, "", true},
		{"not listed", Request{Host: "x.example", Port: 443}, "x.example", true},
		{"another port", Request{Host: "a.example", Port: 22}, "a.example:22", true},
		{"another method", Request{Host: "a.example", Port: 443, Scheme: SchemeHTTPS, Method: http.MethodPut, Path: "/x"}, "a.example/x PUT", true},
		{"denied by a line", Request{Host: "b.example", Port: 443}, "", false},
		{"not TLS on 443", Request{Host: "x.example", Port: 443, Scheme: SchemeTCP}, "", false},
		{"not the web on 80", Request{Host: "x.example", Port: 80, Scheme: SchemeTCP}, "", false},
		{"plain HTTP on 443", Request{Host: "a.example", Port: 443, Scheme: SchemeHTTP, Method: http.MethodGet, Path: "/"}, "", false},
		{"two readings of a path", Request{Host: "a.example", Port: 443, Scheme: SchemeHTTPS, Method: http.MethodPut, Path: "/a/../b"}, "", false},
		{"an address", Request{Host: "10.0.0.1", Port: 443}, "", false},
		{"localhost", Request{Host: "localhost", Port: 443}, "", false},
	} {
		d := set.Decide(tt.q)
		if d.Allowed() != tt.ok || tt.ok && d.Fix != tt.fix {
			t.Errorf("%s: %+v, want allowed %t and %q", tt.name, d, tt.ok, tt.fix)
		}
	}
	if d := set.DecideUnless(Request{Host: "c.example", Port: 443}, func(Rule) bool { return true }); d.Allowed() {
		t.Error("a budget that is spent is let through")
	}
	if _, ok := set.Lists("x.example"); !ok {
		t.Error("a name is not resolved")
	}
	for _, host := range []string{"b.example", "localhost", "10.0.0.1"} {
		if _, ok := set.Lists(host); ok {
			t.Errorf("%s is resolved", host)
		}
	}
	var none *Set
	if !none.Learning().Decide(Request{Host: "x.example", Port: 443}).Allowed() || none.Decide(Request{Host: "x.example", Port: 443}).Allowed() {
		t.Error("the empty set learns wrongly")
	}
}
