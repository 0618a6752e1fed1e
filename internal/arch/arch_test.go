package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/execx"
)

const (
	module        = "agentprocess"
	root          = "../.."
	maxFileLines  = 600
	maxFuncLines  = 80
	maxParameters = 5
	maxFields     = 20
	maxMethods    = 5
)

// imports says which packages of ours each package may import. The domain
// imports nothing; drivers import the domain and never each other; only app,
// and what tests it, imports everything ("*").
func imports() map[string][]string {
	domain := []string{"sandbox", "policy", "audit", "execx"}
	judging := []string{"approval", "image", "preset", "projecthook", "shell", "toolpolicy", "trust"}
	return map[string][]string{
		// The domain.
		"internal/sandbox": {},
		"internal/policy":  {},
		"internal/audit":   {"sandbox"},
		"internal/execx":   {},
		"internal/inspect": {},
		// Drivers: one part of the world each.
		"internal/proxy":               {"sandbox", "policy", "audit"},
		"internal/hook":                domain,
		"internal/proof":               {"audit"},
		"internal/workspace":           {"sandbox", "execx", "inspect"},
		"internal/agent":               domain,
		"internal/agent/agenttest":     {"agent"},
		"internal/execx/exectest":      {"execx"},
		"internal/secret":              {"sandbox", "policy"},
		"internal/store":               {"sandbox", "audit", "approval"},
		"internal/approval":            {"sandbox"},
		"internal/conversation":        {"sandbox"},
		"internal/projecthook":         {"sandbox"},
		"internal/shell":               {},
		"internal/toolpolicy":          {"shell"},
		"internal/trust":               {"sandbox"},
		"internal/image":               {},
		"internal/preset":              {},
		"internal/scripted":            {},
		"internal/runtime/pidone":      {"sandbox", "seccomp"},
		"internal/runtime/idmap":       {"sandbox", "execx"},
		"internal/runtime/native":      {"sandbox", "execx", "runtime/idmap", "runtime/pidone"},
		"internal/runtime/contained":   {"sandbox", "runtime/pidone"},
		"internal/runtime/docker":      {"image", "sandbox", "seccomp", "runtime/contained", "runtime/idmap", "runtime/pidone"},
		"internal/runtime/enginetest":  {"execx"},
		"internal/seccomp":             {},
		"internal/inside":              {},
		"internal/runtime/runtimetest": {"execx", "sandbox"},
		// What holds them together.
		"internal/gateway": {"sandbox"}, // proxy and hooks are its interfaces
		"internal/config":  {"sandbox", "inspect"},
		"internal/service": append(slices.Concat(domain, judging), "proxy", "hook", "proof", "gateway", "forge", "patch", "review", "term", "workspace", "inspect", "agent", "conversation", "secret", "store", "config", "scripted"),
		// What people see.
		"internal/term":     {},
		"internal/report":   {"sandbox", "audit", "term"},
		"internal/patch":    {"term"},
		"internal/review":   {"patch", "term"},
		"internal/forge":    {"execx"},
		"internal/app":      {"sandbox", "config", "inside", "runtime/docker", "runtime/native", "service", "store"},
		"internal/cli":      {"*"}, // it also runs the hidden verbs, which are drivers'
		"cmd/agent-process": {"cli", "term"},
		// The program that runs inside sandboxes.
		"internal/inside/verb":     {"hook", "proof", "runtime/contained", "runtime/native", "sandbox"},
		"cmd/agent-process-inside": {"inside/verb"},
		"docs":                     {}, // the pages that it can print
		// What is not shipped.
		"internal/seccomp/generate": {},
		"internal/arch":             {"execx"},
		"internal/arch/sizes":       {"arch"},
		"bench":                     {"execx", "audit", "policy", "proxy", "runtime/enginetest", "sandbox", "store"},
		"e2e":                       {},
	}
}

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := execx.Output(t.Context(), execx.Cmd{
		Argv: []string{"go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./..."}, Dir: root, Env: os.Environ(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsPointAtTheDomain(t *testing.T) {
	table := imports()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		allowed, known := table[name]
		if !known {
			t.Errorf("%s stands nowhere: add it to the table in this test", name)
			continue
		}
		delete(table, name)
		for _, i := range p.Imports {
			ours := strings.TrimPrefix(strings.TrimPrefix(i, module+"/"), "internal/")
			if strings.HasPrefix(i, module+"/") && !slices.Contains(allowed, ours) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s: it may import %q", name, ours, allowed)
			}
		}
	}
	for name := range table {
		t.Errorf("%s is in the table of this test, and nowhere else", name)
	}
}

// TestArchitectureNamesEveryPackage keeps the map in step with the country.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	architecture := text(t, "ARCHITECTURE.md")
	for name := range imports() {
		if !strings.Contains(architecture, "`"+name+"`") {
			t.Errorf("ARCHITECTURE.md does not name %s", name)
		}
	}
}

// TestForbiddenImports names packages of the standard library that belong
// behind one door, or have no place in the domain.
func TestForbiddenImports(t *testing.T) {
	pure := []string{"internal/sandbox", "internal/policy", "internal/audit", "internal/shell", "internal/toolpolicy"}
	tests := []struct {
		imported, why string
		applies       func(name string) bool
	}{
		{"os/exec", "use internal/execx", func(name string) bool {
			return name != "internal/execx" && name != "bench" && name != "internal/runtime/enginetest"
		}},
		{"os", "the domain does not act on the world", func(name string) bool { return slices.Contains(pure, name) }},
		{"net/http", "the domain decides on plain values", func(name string) bool { return slices.Contains(pure, name) }},
		{"log", "use an *slog.Logger field", func(string) bool { return true }},
		{"math/rand", "use math/rand/v2, or crypto/rand", func(string) bool { return true }},
		{"unsafe", "no", func(name string) bool { return !strings.HasPrefix(name, "internal/runtime/") }},
	}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, tt := range tests {
			if tt.applies(name) && slices.Contains(p.Imports, tt.imported) {
				t.Errorf("%s imports %s: %s", name, tt.imported, tt.why)
			}
		}
	}
}

func TestDomainNeedsOnlyTheStandardLibrary(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"/internal/sandbox" && p.ImportPath != module+"/internal/execx" {
			continue
		}
		for _, i := range p.Imports {
			if first, _, _ := strings.Cut(i, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
}

func tree(t *testing.T) Tree {
	t.Helper()
	tree, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestEveryPackageHasOneCommentInDocGo(t *testing.T) {
	comments := map[string][]string{}
	mains := map[string]bool{}
	for _, f := range tree(t).Files {
		if f.Test {
			continue
		}
		dir := path.Dir(f.Path)
		comments[dir] = append(comments[dir], nil...)
		mains[dir] = f.Package == "main"
		if f.Comment {
			comments[dir] = append(comments[dir], path.Base(f.Path))
		}
	}
	for dir, files := range comments {
		want := "doc.go"
		if mains[dir] {
			want = "main.go"
		}
		if !slices.Equal(files, []string{want}) {
			t.Errorf("%s has package comments in %q: want one, in %q", dir, files, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, f := range tree(t).Files {
		if f.Lines > maxFileLines {
			t.Errorf("%s has %d lines: at most %d", f.Path, f.Lines, maxFileLines)
		}
		for _, fn := range f.Functions {
			if fn.Lines > maxFuncLines && !f.Test {
				t.Errorf("%s:%d: %s has %d lines: at most %d", f.Path, fn.Line, fn.Name, fn.Lines, maxFuncLines)
			}
			if fn.Parameters > maxParameters {
				t.Errorf("%s:%d: %s has %d parameters: more than %d become an options struct", f.Path, fn.Line, fn.Name, fn.Parameters, maxParameters)
			}
			if fn.Name == "init" {
				t.Errorf("%s:%d: no init", f.Path, fn.Line)
			}
		}
		for _, s := range f.Structs {
			if s.Members > maxFields {
				t.Errorf("%s:%d: %s has %d fields: at most %d", f.Path, s.Line, s.Name, s.Members, maxFields)
			}
		}
		for _, i := range f.Interfaces {
			if i.Members > maxMethods {
				t.Errorf("%s:%d: %s has %d methods: at most %d", f.Path, i.Line, i.Name, i.Members, maxMethods)
			}
		}
	}
}

func TestNobodySleeps(t *testing.T) {
	for _, f := range tree(t).Files {
		if n := f.Calls["time.Sleep"]; n > 0 {
			t.Errorf("%s names time.Sleep %d times: use a timer with a context, or testing/synctest", f.Path, n)
		}
	}
}

// Each fuzz target has inputs that are tried with every run of the tests.
func TestFuzzTargetsHaveACorpus(t *testing.T) {
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	found := 0
	for _, f := range tree(t).Files {
		if !f.Test {
			continue
		}
		for _, m := range target.FindAllStringSubmatch(text(t, f.Path), -1) {
			found++
			corpus := path.Join(path.Dir(f.Path), "testdata", "fuzz", m[1])
			if list, err := os.ReadDir(path.Join(root, corpus)); err != nil || len(list) == 0 {
				t.Errorf("%s: %s has no inputs in %s", f.Path, m[1], corpus)
			}
		}
	}
	if found < 40 {
		t.Errorf("%d fuzz targets were found", found)
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, f := range tree(t).Files {
		if !f.Test && f.Exported > f.Documented {
			t.Errorf("%s: %d of %d exported names have no comment", f.Path, f.Exported-f.Documented, f.Exported)
		}
	}
}

func TestModule(t *testing.T) {
	for line := range strings.Lines(text(t, "go.mod")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "replace") && !strings.Contains(line, "=> ./third_party/") {
			t.Errorf("go.mod: %s: only what is ours, in third_party, stands in for a module", line)
		}
		if direct.MatchString(line) && !strings.Contains(line, " // ") {
			t.Errorf("go.mod: %s: say behind it what it is for", line)
		}
	}
}

// direct is the line of a requirement.
var direct = regexp.MustCompile(`^[a-z0-9.-]+\.[a-z]+/\S+ v[0-9]\S*`)

// text is the content of a file at the root.
func text(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(path.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
