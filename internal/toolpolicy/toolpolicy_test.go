package toolpolicy

import (
	"context"
	"encoding/json"
	"errors"
	"path"
	"strings"
	"testing"
)

const (
	testWorkspace = "/src/tree"
	testHome      = "/home/agent"
)

// links are the symlinks that the tests' Resolver follows.
var links = map[string]string{
	testWorkspace + "/hooks-link": testWorkspace + "/.git/hooks",
	testWorkspace + "/aws":        testHome + "/.aws",
	testWorkspace + "/out":        "/srv/other",
	testWorkspace + "/docs/up":    testWorkspace + "/src",
	"/proc/self":                  "/proc/42",
}

// follow is a Resolver over links: the longest link that p goes through, ".."
// applied after it, until there is none.
func follow(_ context.Context, paths []string) (map[string]string, error) {
	found := map[string]string{}
	for _, p := range paths {
		at := "/"
		for name := range strings.SplitSeq(p, "/") {
			at = path.Join(at, name)
			if to, ok := links[at]; ok {
				at = to
			}
		}
		found[p] = at
	}
	return found, nil
}

func input(t testing.TB, fields map[string]any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func call(t testing.TB, tool string, fields map[string]any) Call {
	t.Helper()
	return Call{Phase: Pre, Agent: "claude", Tool: tool, Input: input(t, fields), Dir: testWorkspace, Workspace: testWorkspace, Home: testHome}
}

func bash(t testing.TB, line string) Call {
	t.Helper()
	return call(t, "Bash", map[string]any{"command": line})
}

func policy(t testing.TB, o Options) *Policy {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func layer(t testing.TB, source, text string) *Layer {
	t.Helper()
	l, err := Parse(source, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// said is a verdict in short: "deny git-push", or "allow".
func said(v Verdict) string { return strings.TrimSpace(string(v.Action) + " " + v.Rule) }

var errNoAnswer = errors.New("no answer")
