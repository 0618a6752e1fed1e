package policy

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestReach(t *testing.T) {
	t.Parallel()
	set := mustParse(t, "whole.example\njudged.example/a/* GET\nhttp://plain.example/x\ndeny whole.example/secret/**")
	for _, tt := range []struct {
		method, target string
		want           Verdict
	}{
		{"", "whole.example", Allow},
		{"", "https://whole.example/a", Allow},
		{"PUT", "https://whole.example/secret/x", Deny},
		{"", "judged.example", Allow}, // a connection; its requests are judged
		{"", "https://judged.example/a/b", Allow},
		{"HEAD", "judged.example/a/b", Allow},
		{"PUT", "https://judged.example/a/b", Deny},
		{"", "judged.example/c", Deny},
		{"", "http://judged.example/a/b", Deny},
		{"", "http://plain.example/x?q=1#f", Allow},
		{"", "http://plain.example/y", Deny},
		{"", "https://plain.example/x", Deny},
		{"", "other.example:22", Deny},
	} {
		q, err := ParseTarget(tt.method, tt.target)
		if err != nil {
			t.Fatal(err)
		}
		if d := set.Reach(q); d.Verdict != tt.want {
			t.Errorf("%s %s is %s: %s%s", tt.method, tt.target, d.Verdict, d.Reason, d.Rule.Text)
		}
	}
	for _, bad := range []string{"ftp://a.example", "https://a@b.example/", "http://[::1]/", "10.0.0.1", "", "https:///x"} {
		if q, err := ParseTarget("", bad); err == nil {
			t.Errorf("%q is %+v", bad, q)
		}
	}
}

func TestAbout(t *testing.T) {
	t.Parallel()
	set := mustParse(t, "*.example\na.b.example\ndeny *.b.example/x\nother.test")
	var got []string
	for _, r := range set.About("A.b.example.") {
		got = append(got, r.Text)
	}
	if want := []string{"deny *.b.example/x", "a.b.example", "*.example"}; !slices.Equal(got, want) {
		t.Errorf("About = %q, want %q", got, want)
	}
}

func TestParseCases(t *testing.T) {
	t.Parallel()
	cases, err := ParseCases("f", "# all\nallow a.example\n\ndeny PUT https://a.example/x # no\r\n")
	if err != nil || len(cases) != 2 || cases[1].Line != 4 || cases[1].Ask.Method != http.MethodPut {
		t.Errorf("%+v, %v", cases, err)
	}
	failed := mustParse(t, "a.example").Check(cases)
	if len(failed) != 1 || failed[0].Case.Line != 4 || !failed[0].Got.Allowed() {
		t.Errorf("failed: %+v", failed)
	}
	for text, want := range map[string]error{
		"":                         ErrCaseNone,
		"# nothing":                ErrCaseNone,
		"permit a.example":         ErrCaseVerdict,
		"allow":                    ErrCaseTarget,
		"allow GET a.example more": ErrCaseTarget,
		"allow get a.example":      ErrRuleMethod,
		"deny GET,PUT a.example":   ErrRuleMethod,
		"deny 10.0.0.1":            ErrHostAddress,
	} {
		if _, err := ParseCases("f", text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

// What an agent named must not become a command when a person copies it.
func TestAllowCommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rule, want string }{
		{"a.example:8443", "a.example:8443"},
		{"http://a.example/x", "http://a.example/x"},
		{"*.a.example", "'*.a.example'"},
		{"a.example/x GET,PUT", "'a.example/x GET,PUT'"},
		{"a.example/$(reboot) GET", "net-7"},
		{"a.example/'; reboot #", "net-7"},
		{"a.example/`reboot`", "net-7"},
		{"a.example/é", "net-7"},
		{"a.example/\n", "net-7"},
		{"--help", "net-7"},
		{"", "net-7"},
	} {
		if got, want := AllowCommand("docs", tt.rule, "net-7"), "agent-process allow docs "+tt.want; got != want {
			t.Errorf("%q: %q, want %q", tt.rule, got, want)
		}
	}
}

// FuzzParseCases: what parses is judged, and a target that is written again is
// the same.
func FuzzParseCases(f *testing.F) {
	for _, s := range []string{"allow a.example", "deny PUT https://a.example/x?y#z", "allow http://h.test:80/%2e%2e/%zz", "deny GET a.b/\u00e9 # c", "allow h.test:99999"} {
		f.Add(s)
	}
	set := NewSet()
	f.Fuzz(func(t *testing.T, text string) {
		cases, err := ParseCases("fuzz", text)
		if err == nil && len(cases) == 0 {
			t.Fatal("no case and no error")
		}
		for _, c := range cases {
			if d := set.Reach(c.Ask); d.Allowed() || d.Reason == "" {
				t.Errorf("%q: an empty list says %+v", c.Text, d)
			}
			if host, err := NormalizeHost(c.Ask.Host); err != nil || host != c.Ask.Host || c.Ask.Port == 0 {
				t.Errorf("%q is about %q:%d", c.Text, c.Ask.Host, c.Ask.Port)
			}
			if strings.ContainsAny(c.Ask.Path, " \x00\r\n?#") {
				t.Errorf("%q has the path %q", c.Text, c.Ask.Path)
			}
		}
	})
}
