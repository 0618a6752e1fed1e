package policy

import (
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestDecisions holds testdata/decisions.txt against the policy. A block is
// rules, each after ">", then one request a line: verdict, request, and the
// rule that allows it or the reason why it is denied, with tabs between. The
// requests are "CONNECT host:port scheme" and "METHOD URL", with the operation
// of an LFS batch in the URL's fragment.
func TestDecisions(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/decisions.txt")
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	set, fresh, count := NewSet(), true, 0
	for n, line := range strings.Split(string(data), "\n") {
		if rule, ok := strings.CutPrefix(line, "> "); ok {
			if fresh {
				rules = nil
			}
			fresh = false
			rules = append(rules, rule)
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if !fresh {
			set, fresh = mustParse(t, strings.Join(rules, "\n")), true
		}
		parts := strings.Split(line, "\t")
		if len(parts) != 3 {
			t.Fatalf("line %d has %d parts", n+1, len(parts))
		}
		count++
		d := set.Decide(requestOf(t, parts[1]))
		got := d.Reason
		if d.Allowed() {
			got = d.Rule.Text
		}
		if string(d.Verdict) != parts[0] || got != parts[2] {
			t.Errorf("line %d: %s under %q is %s\t%s\nwant %s\t%s", n+1, parts[1], rules, d.Verdict, got, parts[0], parts[2])
		}
	}
	if count < 300 {
		t.Errorf("%d decisions, want 300", count)
	}
}

// requestOf reads a request as decisions.txt has it.
func requestOf(t *testing.T, text string) Request {
	t.Helper()
	method, rest, _ := strings.Cut(text, " ")
	if method == "CONNECT" {
		authority, scheme, _ := strings.Cut(rest, " ")
		host, port, _ := strings.Cut(authority, ":")
		return Request{Host: host, Port: number(t, port), Scheme: scheme}
	}
	rest, lfs, _ := strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	scheme, rest, _ := strings.Cut(rest, "://")
	authority, path, _ := strings.Cut(rest, "/")
	u := url.URL{Scheme: scheme, Host: authority}
	q := Request{Host: u.Hostname(), Port: 443, Scheme: scheme, Method: method, Path: "/" + path, Query: query, LFS: lfs}
	if u.Port() != "" {
		q.Port = number(t, u.Port())
	} else if scheme == SchemeHTTP {
		q.Port = 80
	}
	return q
}

func number(t *testing.T, text string) uint16 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}
