package secret

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
)

const pat = "pat-0123456789"

func TestNamedSecretsAreKept(t *testing.T) {
	s := store(t)
	if all, err := s.AllNamed(); err != nil || len(all) > 0 {
		t.Fatalf("%v, %v", all, err)
	}
	stored := Named{Name: "npm-token", Hosts: []string{"Registry.Example.", "a.example", "a.example"}, Way: WayBearer, Origin: OriginStored, Value: policy.NewSecret(pat), Added: noon}
	looked := Named{Name: "maps", Hosts: []string{"maps.example"}, Way: WayQuery, Param: "key", Var: "MAPS_KEY", Origin: OriginEnv, From: "MAPS", Added: noon}
	for _, n := range []Named{stored, looked, stored} {
		if err := s.Put(n); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.AllNamed()
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	got := all[1]
	if got.Name != "npm-token" || strings.Join(got.Hosts, " ") != "a.example registry.example" || got.Var != "NPM_TOKEN" || got.Value.Reveal() != pat || !got.Added.Equal(noon) {
		t.Errorf("got %+v", got)
	}
	if got := all[0]; got.Param != "key" || got.Var != "MAPS_KEY" || got.From != "MAPS" || !got.Value.Empty() {
		t.Errorf("got %+v", got)
	}
	text, err := json.Marshal(all)
	if err != nil || strings.Contains(string(text)+fmt.Sprintf("%v %+v %#v", all, all, all), pat) {
		t.Errorf("a secret is printed: %s %v", text, err)
	}
	path := filepath.Join(s.Dir, "secret-npm-token.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Named("npm-token"); sandbox.ErrorCode(err) != sandbox.CodeCredential || !strings.Contains(err.Error(), "0644") {
		t.Errorf("what others can read is taken: %v", err)
	}
	if err := s.Forget("npm-token"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"npm-token", "../x", ""} {
		if err := s.Forget(name); sandbox.ErrorCode(err) != sandbox.CodeCredential {
			t.Errorf("Forget(%q) = %v", name, err)
		}
		if _, err := s.Named(name); sandbox.ErrorCode(err) != sandbox.CodeCredential {
			t.Errorf("Named(%q) = %v", name, err)
		}
	}
}

func TestNamedIsChecked(t *testing.T) {
	good := Named{Name: "a", Hosts: []string{"a.example"}, Way: WayBearer, Origin: OriginStored}
	for name, edit := range map[string]func(*Named){
		"a path as a name":   func(n *Named) { n.Name = "../a" },
		"a long name":        func(n *Named) { n.Name = strings.Repeat("a", 65) },
		"no host":            func(n *Named) { n.Hosts = nil },
		"an address":         func(n *Named) { n.Hosts = []string{"192.0.2.1"} },
		"a wildcard":         func(n *Named) { n.Hosts = []string{"*.example"} },
		"localhost":          func(n *Named) { n.Hosts = []string{"localhost"} },
		"a header of two":    func(n *Named) { n.Way, n.Param = WayHeader, "A: b" },
		"a user with colon":  func(n *Named) { n.Way, n.Param = WayBasic, "a:b" },
		"a user with blank":  func(n *Named) { n.Way, n.Param = WayBasic, "a b" },
		"a user with line":   func(n *Named) { n.Way, n.Param = WayBasic, "a\nmachine evil.example" },
		"a parameter of two": func(n *Named) { n.Way, n.Param = WayQuery, "a&b" },
		"no file":            func(n *Named) { n.Origin = OriginFile },
	} {
		n := good
		edit(&n)
		if _, err := n.Check(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if n, err := good.Check(); err != nil || n.Var != "A" {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestNewValue(t *testing.T) {
	for text, want := range map[string]string{
		pat: pat, pat + "\n": pat, pat + "\r\n": pat, "pass word 1": "pass word 1", "": "", "\n": "", "short": "",
		"two\nlines of it": "", " blank first": "", "nul\x00nul\x00": "", strings.Repeat("x", maxValue+1): "",
	} {
		got, err := NewValue(text)
		if got.Reveal() != want || (err == nil) != (want != "") {
			t.Errorf("NewValue(%.20q) = %q, %v", text, got.Reveal(), err)
		}
	}
}
