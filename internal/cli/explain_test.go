package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentprocess/docs"
)

func TestPolicyExplain(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want []string
		not  string
	}{
		{[]string{"registry.example"}, []string{"allowed  registry.example:443", "line      registry.example GET", "layer     user", "allowlist:2", "tls       opened"}, "why"},
		{[]string{"https://registry.example/x", "--method", "PUT"}, []string{
			"denied  PUT https://registry.example/x", "add       registry.example/x PUT", "agent-process allow docs 'registry.example/x PUT'",
		}, ""},
		{[]string{"uploads.example"}, []string{"denied  uploads.example:443", "it is denied by the line deny uploads.example"}, "agent-process allow"},
		{[]string{"https://registry.example/$(reboot)", "--method", "PUT"}, []string{"agent-process allow docs RULE"}, "docs '"},
	} {
		r := run(t, seat{}, policyOf(somebodyAsks()), append([]string{"explain"}, tt.args...)...)
		if r.err != nil {
			t.Fatal(r.err)
		}
		for _, want := range tt.want {
			if !strings.Contains(r.out, want) {
				t.Errorf("%q does not say %q:\n%s", tt.args, want, r.out)
			}
		}
		if tt.not != "" && strings.Contains(r.out, tt.not) {
			t.Errorf("%q says %q:\n%s", tt.args, tt.not, r.out)
		}
	}
}

// The page that is printed is the one in docs, and nothing else.
func TestGrammarIsThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/egress.md")
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, seat{}, policyOf(somebodyAsks()), "explain", "--grammar")
	if r.err != nil || r.out != string(page) || docs.Egress() != string(page) {
		t.Errorf("%v, printed:\n%s", r.err, r.out)
	}
	for _, args := range [][]string{{"explain"}, {"explain", "--grammar", "a.example"}, {"explain", "a", "b"}} {
		if r := run(t, seat{}, policyOf(somebodyAsks()), args...); r.err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestPolicyTest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cases")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("allow registry.example\ndeny PUT https://registry.example/x\n")
	if r := run(t, seat{}, policyOf(somebodyAsks()), "test", file); r.err != nil || !strings.Contains(r.out, "2 cases, 0 came out otherwise") {
		t.Errorf("%v\n%s", r.err, r.out)
	}
	write("allow registry.example\nallow uploads.example\n")
	r := run(t, seat{}, policyOf(somebodyAsks()), "test", file)
	if r.err == nil || !strings.Contains(r.out, ":2: allow uploads.example") {
		t.Errorf("%v\n%s", r.err, r.out)
	}
	if r := run(t, seat{}, policyOf(somebodyAsks()), "test", file+".none"); r.err == nil {
		t.Error("a file that is not there was tested")
	}
}
