package policy

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func port(p uint16) []Ports { return []Ports{{p, p}} }

func TestParseRule(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     Rule // Source and Line are added
	}{
		{"name", "example.com", Rule{Name: "example.com", Ports: port(443), Text: "example.com"}},
		{"wildcard", "*.Example.com", Rule{Name: "example.com", Wildcard: true, Ports: port(443), Text: "*.Example.com"}},
		{"port", "example.com:8443", Rule{Name: "example.com", Ports: port(8443), Text: "example.com:8443"}},
		{"wildcard and port", "*.example.com:22", Rule{Name: "example.com", Wildcard: true, Ports: port(22), Text: "*.example.com:22"}},
		{"http", "http://example.com", Rule{Name: "example.com", Scheme: "http", Ports: port(80), Text: "http://example.com"}},
		{"https", "HTTPS://example.com", Rule{Name: "example.com", Scheme: "https", Ports: port(443), Text: "HTTPS://example.com"}},
		{"http and port", "http://example.com:8080", Rule{Name: "example.com", Scheme: "http", Ports: port(8080), Text: "http://example.com:8080"}},
		{"comment", "  example.com\t# for the tests", Rule{Name: "example.com", Ports: port(443), Text: "example.com"}},
		{"line of Windows", "example.com\r", Rule{Name: "example.com", Ports: port(443), Text: "example.com"}},
		{"ports", "example.com:8001,443,8000", Rule{Name: "example.com", Ports: []Ports{{443, 443}, {8000, 8001}}, Text: "example.com:8001,443,8000"}},
		{"range", "example.com:8000-8010", Rule{Name: "example.com", Ports: []Ports{{8000, 8010}}, Text: "example.com:8000-8010"}},
		{"deny", "deny  example.com", Rule{Deny: true, Name: "example.com", Text: "deny example.com"}},
		{"deny a port", "deny example.com:443", Rule{Deny: true, Name: "example.com", Ports: port(443), Text: "deny example.com:443"}},
		{"path", "example.com/a/*/**", Rule{Name: "example.com", Ports: port(443), Path: "/a/*/**", Text: "example.com/a/*/**"}},
		{"path after scheme and port", "http://example.com:81/a", Rule{Name: "example.com", Scheme: "http", Ports: port(81), Path: "/a", Text: "http://example.com:81/a"}},
		{"methods", "example.com POST,GET,POST", Rule{Name: "example.com", Ports: port(443), Methods: []string{"GET", "POST"}, Text: "example.com POST,GET,POST"}},
		{"git", "example.com/my-org/* git:write", Rule{Name: "example.com", Ports: port(443), Path: "/my-org/*", Git: GitWrite, Text: "example.com/my-org/* git:write"}},
		{"tcp", "example.com tcp", Rule{Name: "example.com", Ports: port(443), TCP: true, Text: "example.com tcp"}},
		{"budgets", "example.com max-up=10MB max-down=1k max-requests=7", Rule{
			Name: "example.com", Ports: port(443), Budget: Budget{Up: 10 << 20, Down: 1 << 10, Requests: 7},
			Text: "example.com max-up=10MB max-down=1k max-requests=7",
		}},
		{"secret", "example.com secret=deploy-key", Rule{Name: "example.com", Ports: port(443), Secret: "deploy-key", Text: "example.com secret=deploy-key"}},
		{"preset", "preset:npm # c", Rule{Preset: "npm", Text: "preset:npm"}},
		{"international", "bücher.example", Rule{Name: "xn--bcher-kva.example", Ports: port(443), Text: "bücher.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.want.Source, tt.want.Line = "test", 1
			got, err := ParseRules("test", tt.in)
			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], tt.want) {
				t.Errorf("ParseRules(%q) = %+v, %v; want %+v", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestParseRulesErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		column   int
		why      error
	}{
		{"deny alone, in capitals", "DENY", 1, ErrRuleNothing},
		{"a host that is called deny", "deny.", 1, ErrRuleNothing},
		{"root", "https://example.com/", 20, ErrRuleRoot},
		{"query", "example.com/x?y", 12, ErrRulePath},
		{"query without path", "example.com?y", 12, ErrRulePath},
		{"dots", "example.com/a/../b", 12, ErrRulePath},
		{"dots with a parameter", "example.com/a/..;x/b", 12, ErrRulePath},
		{"empty segment", "example.com//b", 12, ErrRulePath},
		{"escaped", "example.com/%61", 12, ErrRulePath},
		{"three stars", "example.com/***", 12, ErrRulePath},
		{"URL in a path", "example.com/http://x", 12, ErrRulePath},
		{"ports backwards", "example.com:9-8", 13, ErrRulePorts},
		{"port missing", "example.com:80,", 13, ErrRulePort},
		{"small methods", "example.com get", 13, ErrRuleField},
		{"empty method", "example.com GET,", 13, ErrRuleMethod},
		{"methods twice", "example.com GET POST", 17, ErrRuleTwice},
		{"git of another kind", "example.com git:admin", 13, ErrRuleGit},
		{"git and methods", "example.com git:read GET", 22, ErrRuleTogether},
		{"tcp and path", "example.com/x tcp", 15, ErrRuleTogether},
		{"tcp and scheme", "https://example.com tcp", 21, ErrRuleTogether},
		{"secret without name", "example.com secret=", 13, ErrRuleSecret},
		{"budget of nothing", "example.com max-up=0", 13, ErrRuleBudget},
		{"budget too big", "example.com max-up=9999999TB", 13, ErrRuleBudget},
		{"budget below zero", "example.com max-requests=-1", 13, ErrRuleBudget},
		{"budget without unit", "example.com max-up=10XB", 13, ErrRuleBudget},
		{"budget of what is denied", "deny example.com max-up=1", 18, ErrRuleTogether},
		{"deny alone", "deny", 1, ErrRuleNothing},
		{"deny twice", "deny deny example.com", 11, ErrRuleField},
		{"preset and more", "preset:npm GET", 1, ErrRulePreset},
		{"preset of nothing", "preset:", 1, ErrRulePreset},
		{"scheme", "ftp://example.com", 1, ErrRuleScheme},
		{"port zero", "example.com:0", 13, ErrRulePort},
		{"port empty", "example.com:", 13, ErrRulePort},
		{"port too big", "example.com:65536", 13, ErrRulePort},
		{"port signed", "example.com:+443", 13, ErrRulePort},
		{"port with zero", "example.com:0443", 13, ErrRulePort},
		{"star alone", "*", 1, ErrRuleWildcard},
		{"star inside", "a.*.example.com", 1, ErrRuleWildcard},
		{"star in a label", "*a.example.com", 1, ErrRuleWildcard},
		{"nothing below", "*.", 1, ErrHostEmpty},
		{"address", "  192.0.2.1", 3, ErrRuleAddress},
		{"address below", "*.192.0.2.1", 1, ErrRuleAddress},
		{"IPv6", "[2001:db8::1]:443", 1, ErrRuleAddress},
		{"IPv6 bare", "2001:db8::1", 1, ErrRuleAddress},
		{"localhost", "localhost:8080", 1, ErrRuleLocal},
		{"below localhost", "x.localhost", 1, ErrRuleLocal},
		{"userinfo", "a@example.com", 1, ErrHostUserinfo},
		{"two hosts", "example.com example.org", 13, ErrRuleField},
		{"comment without space", "example.com#x", 12, ErrRuleComment},
		{"NUL", "exam\x00ple.com", 1, ErrHostCharacter},
		{"only dots", "..", 1, ErrHostLabel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rules, err := ParseRules("list", "good.example\n\n"+tt.in)
			e, ok := errors.AsType[*SyntaxError](err)
			if !ok || rules != nil {
				t.Fatalf("ParseRules gives %v, %v", rules, err)
			}
			if e.Line != 3 || e.Column != tt.column || e.Source != "list" || !errors.Is(err, tt.why) {
				t.Errorf("error %v; want line 3, column %d, %v", err, tt.column, tt.why)
			}
		})
	}
}

func TestParseRulesCollectsErrors(t *testing.T) {
	t.Parallel()
	_, err := ParseRules("list", "a/b?c\nexample.com\n*\n# c\n1.2.3.4\n")
	for _, want := range []error{ErrRulePath, ErrRuleWildcard, ErrRuleAddress} {
		if !errors.Is(err, want) {
			t.Errorf("error %v does not tell %v", err, want)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 3 {
		t.Errorf("%d errors: %v", lines, err)
	}
}

func TestParseRulesBounds(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"text":  strings.Repeat("#", maxText+1),
		"rules": strings.Repeat("a.example\n", maxRules+1),
	} {
		if _, err := ParseRules("list", text); !errors.Is(err, ErrRuleSize) {
			t.Errorf("too much %s: %v", name, err)
		}
	}
	if rules, err := ParseRules("list", "# nothing\n\n \t\n"); err != nil || len(rules) != 0 {
		t.Errorf("an empty list gives %v, %v", rules, err)
	}
}

func FuzzParseRules(f *testing.F) {
	for _, s := range []string{
		"example.com", "*.example.com:8443 # c", "http://a.b\nhttps://c.d", "a/b", "*", "[::1]:80", "bücher.example", "a#b", "\r\n\t#", "_a.b:1",
		"deny a.b:1-3,5", "a.b/x/**/*.y GET,POST max-up=3MB", "a.b/o/* git:write", "a.b tcp max-requests=3", "a.b secret=x max-down=1TB", "preset:npm", "deny *.a/b git:read",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseRules("fuzz", text)
		if err != nil && rules != nil {
			t.Fatalf("rules %v beside %v", rules, err)
		}
		for _, r := range rules {
			roundTrip(t, r)
		}
	})
}

// roundTrip wants a rule back from its text and from its JSON, and a
// connection that it allows.
func roundTrip(t *testing.T, r Rule) {
	t.Helper()
	again, err := ParseRules("fuzz", r.String())
	if err != nil || len(again) != 1 {
		t.Fatalf("%q from %q parses to %v, %v", r, r.Text, again, err)
	}
	want := r
	want.Line, want.Text = 1, r.String()
	if !reflect.DeepEqual(again[0], want) {
		t.Errorf("%+v becomes %+v", want, again[0])
	}
	data, err := json.Marshal(r)
	var same Rule
	if err != nil || json.Unmarshal(data, &same) != nil || same.String() != r.String() {
		t.Errorf("%q as JSON is %s, %v", r, data, err)
	}
	host := r.Name
	if r.Wildcard {
		host = "x." + host
	}
	if len(host) > maxHost || r.Preset != "" {
		return
	}
	q := Request{Host: host, Port: 1}
	if len(r.Ports) > 0 {
		q.Port = r.Ports[0].First
	}
	set := NewSet([]Rule{r})
	if allowed := set.Decide(q).Allowed(); allowed == r.Deny {
		t.Errorf("rule %q on %+v: allowed is %t", r, q, allowed)
	}
	if _, listed := set.Lists(host); listed == r.Deny {
		t.Errorf("rule %q lists %q: %t", r, host, listed)
	}
}

func FuzzDecide(f *testing.F) {
	for _, p := range []string{"/", "/a/b", "/a%2Fb", "/a/../b", "//", "/%2e%2e/x", "/..;/a", "/o/r.git/info/refs", "/o/r/git-receive-pack", "/o/r/info/lfs/objects/batch", "/%252f", "/*", "/a%20b"} {
		f.Add("h.test/a/* GET\ndeny h.test/a/x\nh.test/o/* git:read", "GET", p, "service=git-upload-pack")
	}
	f.Fuzz(func(t *testing.T, text, method, path, query string) {
		rules, err := ParseRules("fuzz", text)
		if err != nil || method == "" {
			return
		}
		q := Request{Host: "h.test", Port: 443, Scheme: SchemeHTTPS, Method: method, Path: path, Query: query}
		set := NewSet(rules)
		d := set.Decide(q)
		switch {
		case d.Allowed() && (d.Reason != "" || d.Fix != "" || d.Rule.Deny), !d.Allowed() && d.Reason == "":
			t.Errorf("%+v gives %+v", q, d)
		case d.Allowed() && !set.Decide(Request{Host: q.Host, Port: q.Port}).Allowed():
			t.Errorf("%+v is allowed in a connection that is not", q)
		}
		if d.Fix == "" {
			return
		}
		fixed, err := ParseRules("fix", d.Fix)
		if err != nil {
			t.Fatalf("the fix %q: %v", d.Fix, err)
		}
		if again := NewSet(rules, fixed).Decide(q); !again.Allowed() {
			t.Errorf("the fix %q leaves %+v at %+v", d.Fix, q, again)
		}
	})
}
