package policy

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseRule(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     Rule // Source and Line are added
	}{
		{"name", "example.com", Rule{Name: "example.com", Port: 443, Text: "example.com"}},
		{"wildcard", "*.Example.com", Rule{Name: "example.com", Wildcard: true, Port: 443, Text: "*.Example.com"}},
		{"port", "example.com:8443", Rule{Name: "example.com", Port: 8443, Text: "example.com:8443"}},
		{"wildcard and port", "*.example.com:22", Rule{Name: "example.com", Wildcard: true, Port: 22, Text: "*.example.com:22"}},
		{"http", "http://example.com", Rule{Name: "example.com", Port: 80, Text: "http://example.com"}},
		{"https", "HTTPS://example.com", Rule{Name: "example.com", Port: 443, Text: "HTTPS://example.com"}},
		{"http and port", "http://example.com:8080", Rule{Name: "example.com", Port: 8080, Text: "http://example.com:8080"}},
		{"comment", "  example.com\t# for the tests", Rule{Name: "example.com", Port: 443, Text: "example.com"}},
		{"line of Windows", "example.com\r", Rule{Name: "example.com", Port: 443, Text: "example.com"}},
		{"international", "bücher.example", Rule{Name: "xn--bcher-kva.example", Port: 443, Text: "bücher.example"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.want.Source, tt.want.Line = "test", 1
			got, err := ParseRules("test", tt.in)
			if err != nil || len(got) != 1 || got[0] != tt.want {
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
		{"path", "example.com/x", 12, ErrRulePath},
		{"path after scheme", "https://example.com/", 20, ErrRulePath},
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
	_, err := ParseRules("list", "a/b\nexample.com\n*\n# c\n1.2.3.4\n")
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
	for _, s := range []string{"example.com", "*.example.com:8443 # c", "http://a.b\nhttps://c.d", "a/b", "*", "[::1]:80", "bücher.example", "a#b", "\r\n\t#", "_a.b:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := ParseRules("fuzz", text)
		if err != nil && rules != nil {
			t.Fatalf("rules %v beside %v", rules, err)
		}
		for _, r := range rules {
			again, err := ParseRules("fuzz", r.String())
			if err != nil || len(again) != 1 {
				t.Fatalf("%q from %q parses to %v, %v", r, r.Text, again, err)
			}
			want := r
			want.Line, want.Text = 1, r.String()
			if !reflect.DeepEqual(again[0], want) {
				t.Errorf("%+v becomes %+v", want, again[0])
			}
			host := r.Name
			if r.Wildcard {
				host = "x." + host
			}
			if len(host) <= maxHost && !NewSet(rules).Decide(Request{Host: host, Port: r.Port}).Allowed() {
				t.Errorf("rule %q does not allow %q", r, host)
			}
		}
	})
}
