package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// TestBuiltinRulesAreTried fails when a rule was built in that no script makes
// the real agent run into.
func TestBuiltinRulesAreTried(t *testing.T) {
	data, err := os.ReadFile("../internal/toolpolicy/builtin.toml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Rule []struct {
			ID string `toml:"id"`
		} `toml:"rule"`
	}
	if err := toml.Unmarshal(data, &rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Rule) == 0 {
		t.Fatal("no rule is built in")
	}
	script, err := os.ReadFile("testdata/hooks/builtin.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Rule {
		if want := fmt.Sprintf(`"rule":"%s"`, r.ID); !strings.Contains(string(script), want) {
			t.Errorf("builtin.txtar: the rule %q is not tried", r.ID)
		}
	}
}
