package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
)

// maxLearned bounds the lines that are learned of one run: an agent that tries
// names by the thousand is nothing to learn from.
const maxLearned = 500

// Learned is what a run wanted to reach and the project's list does not allow.
type Learned struct {
	Run   string   `json:"run"`
	Lines []string `json:"lines"` // the narrowest that would allow it, sorted
	Diff  string   `json:"diff"`  // of the list in the person's tree, for `git apply`
	More  int      `json:"more,omitempty"`
}

// Learn reads in the record of an agent's newest run what was denied, or let
// through to be learned, and makes lines of it. It changes nothing.
func (s *Service) Learn(ctx context.Context, dir, name string) (Learned, error) {
	repo, err := s.open(ctx, dir)
	if err != nil {
		return Learned{}, err
	}
	run, err := s.find(ctx, dir, name)
	if err != nil {
		return Learned{}, err
	}
	requests, err := s.Store.Requests(ctx, store.RequestFilter{Run: run.ID})
	if err != nil {
		return Learned{}, err
	}
	have, err := listInTree(repo.Here)
	if err != nil {
		return Learned{}, err
	}
	known, err := policy.ParseRules(allowlistFile, have)
	if err != nil {
		return Learned{}, sandbox.Fail(sandbox.CodePolicy, err, "mend the list first")
	}
	l := Learned{Run: run.ID, Lines: learned(requests, policy.NewSet(known))}
	if len(l.Lines) > maxLearned {
		l.Lines, l.More = l.Lines[:maxLearned], len(l.Lines)-maxLearned
	}
	l.Diff = additions(allowlistFile, have, l.Lines)
	return l, nil
}

// WriteLearned adds what was learned to the project's list in the person's tree.
func (s *Service) WriteLearned(ctx context.Context, dir string, l Learned) (string, error) {
	return s.listForProject(ctx, dir, l.Lines...)
}

// listInTree is the project's list as it is in the person's tree.
func listInTree(tree string) (string, error) {
	if tree == "" {
		return "", nil
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		return "", fmt.Errorf("read the list: %w", err)
	}
	data, err := root.ReadFile(filepath.FromSlash(allowlistFile))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(data), errors.Join(err, root.Close())
}

// learned gives the narrowest lines for requests that a list does not allow. A
// line for all of a host makes those for parts of it needless.
func learned(requests []store.Request, have *policy.Set) []string {
	lines := map[string]policy.Rule{}
	for _, r := range requests {
		if r.Rule == audit.ProofRule || !policy.IsLine(r.Fix) {
			continue
		}
		rules, err := policy.ParseRules("learned", r.Fix)
		if err != nil || len(rules) != 1 || !have.Reach(wanted(rules[0], r)).Allowed() {
			for _, rule := range rules {
				lines[rule.String()] = rule
			}
		}
	}
	var out []string
	for text, rule := range lines {
		all := rule
		all.Path, all.Methods, all.Git = "", nil, ""
		if _, whole := lines[all.String()]; !whole || all.String() == text {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out
}

// wanted is the request that a line was learned from.
func wanted(rule policy.Rule, r store.Request) policy.Request {
	q := askedOf(r)
	q.Host, q.Port = rule.Name, rule.Ports[0].First
	if rule.Scheme != "" {
		q.Scheme = rule.Scheme
	}
	return q
}

// additions is a unified diff that adds lines at the end of a file.
func additions(file, have string, lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	var b strings.Builder
	old := slices.Collect(strings.Lines(have))
	from := max(0, len(old)-3)
	if len(old) == 0 {
		fmt.Fprintf(&b, "--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n", file, len(lines))
	} else {
		fmt.Fprintf(&b, "--- a/%s\n+++ b/%s\n@@ -%d,%d +%d,%d @@\n", file, file, from+1, len(old)-from, from+1, len(old)-from+len(lines))
	}
	for _, line := range old[from:] {
		text, ended := strings.CutSuffix(line, "\n")
		if ended {
			fmt.Fprintf(&b, " %s\n", text)
			continue
		}
		fmt.Fprintf(&b, "-%s\n\\ No newline at end of file\n+%s\n", text, text)
	}
	for _, line := range lines {
		fmt.Fprintf(&b, "+%s\n", line)
	}
	return b.String()
}
