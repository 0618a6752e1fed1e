package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// fewestRecipes is how many recipes docs/hooks.md has at least.
const fewestRecipes = 5

var (
	// A fence whose info string names a file of the project: ```sh .agent-process/hooks/pre-bash
	recipeFile = regexp.MustCompile("(?ms)^```[a-z]+ (\\.[^\\s]+)\n(.*?)^```$")
	// The script that tries a recipe stands in a comment of the page.
	recipeTest = regexp.MustCompile(`(?ms)^<!-- try\n(.*?)^-->$`)
)

// TestRecipes does what each recipe of docs/hooks.md says, with the files as
// they stand there and the real agent.
func TestRecipes(t *testing.T) {
	w := newWorld(t)
	page, err := os.ReadFile("../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	recipes := 0
	for section := range strings.SplitSeq(string(page), "\n## ") {
		script := recipeTest.FindStringSubmatch(section)
		if script == nil {
			continue
		}
		recipes++
		files := recipeFile.FindAllStringSubmatch(section, -1)
		if len(files) == 0 {
			t.Errorf("recipe %d has no file", recipes)
		}
		var archive strings.Builder
		archive.WriteString(script[1])
		for _, f := range files {
			fmt.Fprintf(&archive, "-- project/%s --\n%s", f[1], f[2])
		}
		title, _, _ := strings.Cut(section, "\n")
		name := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(title), "-"), "-")
		if err := os.WriteFile(filepath.Join(dir, name+".txtar"), []byte(archive.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if recipes < fewestRecipes {
		t.Fatalf("%d recipes, want at least %d", recipes, fewestRecipes)
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, Setup: func(env *testscript.Env) error { return setup(env, w) }, Cmds: commands(), RequireExplicitExec: true, Condition: condition,
	})
}
