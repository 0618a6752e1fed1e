//go:build linux

package workspace

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// homeFixture is a repository with the branch of an agent called docs, as an
// import leaves it: two commits on the base that change, add and remove files.
func homeFixture(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t, "project")
	f.write("gone.txt", "to be removed\n")
	f.write("dir/was.txt", "in a directory\n")
	f.write("ten.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "base")
	f.agent("docs", func() {
		f.write("main.go", "package changed\n")
		f.write("new/file.sh", "#!/bin/sh\n")
		f.git("add", "-A")
		f.git("commit", "-q", "-m", "first of the agent")
		f.git("rm", "-q", "-r", "gone.txt", "dir")
		f.write("dir", "a file where a directory was\n")
		f.write("ten.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\nten\n")
		f.git("add", "-A")
		f.git("commit", "-q", "-m", "second of the agent")
	})
	return f
}

// agent makes the branch of an agent on what is checked out.
func (f *fixture) agent(name string, work func()) {
	f.t.Helper()
	was := f.git("rev-parse", "--abbrev-ref", "HEAD")
	f.git("update-ref", "refs/agents/"+name+"/base", "HEAD")
	f.git("checkout", "-q", "-b", Branch(name))
	work()
	f.git("checkout", "-q", was)
}

// everything is state, with all refs.
func (f *fixture) everything() string {
	return f.git("for-each-ref") + "\n" + f.git("rev-parse", "--symbolic-full-name", "HEAD") + "\n" + f.state()
}

// situations are what a person's worktree can be like.
func situations() map[string]func(f *fixture) {
	return map[string]func(f *fixture){
		"clean": func(*fixture) {},
		"dirty-disjoint": func(f *fixture) {
			f.write("docs/read me.txt", "mine\n")
			f.write("untracked.txt", "mine\n")
			f.write(".env", "SECRET=mine\n")
			f.write("staged.txt", "mine\n")
			f.git("add", "staged.txt")
			f.write("staged.txt", "mine, and more\n")
		},
		"dirty-overlapping": func(f *fixture) { f.write("main.go", "package mine\n") },
		"staged-overlapping": func(f *fixture) {
			f.write("main.go", "package mine\n")
			f.git("add", "main.go")
			f.write("main.go", "package main\n\nfunc main() {}\n")
		},
		"deleted-overlapping":   func(f *fixture) { f.remove("main.go") },
		"untracked-overlapping": func(f *fixture) { f.write("new/file.sh", "mine\n") },
		"ignored-overlapping": func(f *fixture) {
			f.write(".git/info/exclude", "/new\n")
			f.write("new/file.sh", "mine\n")
		},
		"file in place of a directory": func(f *fixture) { f.write("new", "mine\n") },
		"link in place of a directory": func(f *fixture) { f.symlink("docs", "new") },
		"file in a directory that goes": func(f *fixture) {
			f.write(".git/info/exclude", "*.mine\n")
			f.write("dir/x.mine", "mine\n")
		},
		"assumed unchanged": func(f *fixture) {
			f.git("update-index", "--assume-unchanged", "main.go")
			f.write("main.go", "package mine\n")
		},
		"skipped": func(f *fixture) {
			f.git("update-index", "--skip-worktree", "main.go")
			f.write("main.go", "package mine\n")
		},
		"advanced": func(f *fixture) {
			f.write("ten.txt", "one\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")
			f.git("commit", "-q", "-a", "-m", "mine")
		},
		"advanced in conflict": func(f *fixture) {
			f.write("ten.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n11\n")
			f.git("commit", "-q", "-a", "-m", "mine")
		},
		"rebased": func(f *fixture) {
			f.git("commit", "-q", "--amend", "-m", "the base, told better")
		},
		"detached": func(f *fixture) { f.git("checkout", "-q", "--detach") },
		"in a merge": func(f *fixture) {
			f.git("checkout", "-q", "-b", "side", "HEAD~1")
			f.git("commit", "-q", "--allow-empty", "-m", "side")
			f.git("checkout", "-q", "main")
			f.git("merge", "-q", "--no-commit", "--no-ff", "side")
		},
	}
}

func (f *fixture) remove(name string) {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) symlink(to, name string) {
	f.t.Helper()
	if err := os.Symlink(to, filepath.Join(f.dir, name)); err != nil {
		f.t.Fatal(err)
	}
}

// T-H1: whatever the state of the person's worktree, each way home either
// succeeds and keeps every byte of theirs, or refuses first and changes nothing.
func TestHomeKeepsWhatIsThePersons(t *testing.T) {
	t.Parallel()
	type way struct {
		name    string
		run     func(r *Repository) error
		refused []string // situations
		brief   bool
	}
	template := homeFixture(t)
	always := []string{
		"dirty-overlapping", "staged-overlapping", "deleted-overlapping", "untracked-overlapping", "ignored-overlapping", "file in place of a directory",
		"link in place of a directory", "file in a directory that goes", "assumed unchanged", "skipped", "in a merge",
	}
	merge := func(how How) func(r *Repository) error {
		return func(r *Repository) error {
			_, err := r.Merge(t.Context(), MergeOptions{Name: "docs", How: how, Message: Message{Subject: "Merge docs"}})
			return err
		}
	}
	apply := func(index bool) func(r *Repository) error {
		return func(r *Repository) error {
			_, err := r.Apply(t.Context(), ApplyOptions{Name: "docs", Index: index})
			return err
		}
	}
	checkout := func(r *Repository) error {
		_, err := r.Checkout(t.Context(), "docs")
		return err
	}
	for _, w := range []way{
		{"merge", merge(HowMerge), append([]string{"advanced in conflict", "rebased"}, always...), false},
		{"squash", merge(HowSquash), append([]string{"advanced in conflict"}, always...), true},
		{"rebase", merge(HowRebase), append([]string{"advanced in conflict"}, always...), true},
		{"ff", merge(HowFastForward), append([]string{"advanced", "advanced in conflict", "rebased"}, always...), true},
		{"apply", apply(false), append([]string{"advanced in conflict"}, always...), true},
		{"apply to the index", apply(true), append([]string{"advanced in conflict"}, always...), true},
		{"checkout", checkout, always, true},
	} {
		for name, make := range situations() {
			// What keeps files safe is one part, and the same for all ways.
			if w.brief && slices.Contains(always[1:], name) {
				continue
			}
			t.Run(w.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				f := template.copy(t)
				make(f)
				r := f.open(f.dir)
				before, mine := f.everything(), f.mine()
				objects := f.git("count-objects", "-v")
				err := w.run(r)
				if refuse := slices.Contains(w.refused, name); refuse != (err != nil) {
					t.Fatalf("error %v, want refused: %t", err, refuse)
				}
				if err != nil {
					if code := sandbox.ErrorCode(err); code != sandbox.CodeConflict || sandbox.ErrorHint(err) == "" {
						t.Errorf("error %v of code %q, want %q and a hint", err, code, sandbox.CodeConflict)
					}
					if got := f.everything(); got != before {
						t.Errorf("refused, and changed:\n%s\nwant\n%s", got, before)
					}
					if got := f.git("count-objects", "-v"); got != objects {
						t.Errorf("refused, and left objects: %s\nwant %s", got, objects)
					}
					return
				}
				if got := f.mine(); got != mine {
					t.Errorf("what is the person's was\n%s\nand is\n%s", mine, got)
				}
				f.hasWork()
				f.git("fsck", "--strict")
				if w.name == "checkout" {
					return
				}
				if _, err := r.Undo(t.Context(), 0, false, nil); err != nil {
					t.Fatal(err)
				}
				if got := f.everything(); withoutJournal(got) != withoutJournal(before) {
					t.Errorf("after undo:\n%s\nwant\n%s", got, before)
				}
			})
		}
	}
}

// copy is the same repository again, elsewhere.
func (f *fixture) copy(t testing.TB) *fixture {
	t.Helper()
	root := tempDir(t)
	if err := os.CopyFS(root, os.DirFS(f.root)); err != nil {
		t.Fatal(err)
	}
	moved := func(s string) string { return strings.ReplaceAll(s, f.root, root) }
	c := &fixture{t: t, root: root, dir: moved(f.dir), cfg: f.cfg}
	for _, kv := range f.env {
		c.env = append(c.env, moved(kv))
	}
	c.cfg.StateDir, c.cfg.CacheDir, c.cfg.Environ = moved(f.cfg.StateDir), moved(f.cfg.CacheDir), c.env
	return c
}

// withoutJournal is everything without the refs of the journal.
func withoutJournal(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.Contains(line, "refs/agents/und") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// mine is what the person has in files that the agent did not touch, and in the
// index of them.
func (f *fixture) mine() string {
	f.t.Helper()
	var b strings.Builder
	for line := range strings.Lines(f.git("status", "--porcelain", "--ignored") + "\n" + f.git("ls-files", "-s")) {
		for _, p := range []string{"docs/", "untracked.txt", ".env", "staged.txt", ".gitignore"} {
			if strings.Contains(line, p) {
				b.WriteString(line)
			}
		}
	}
	for _, p := range []string{"docs/read me.txt", "untracked.txt", ".env", "staged.txt", ".gitignore"} {
		data, err := os.ReadFile(filepath.Join(f.dir, p))
		b.WriteString(p + ": " + string(data))
		if err != nil {
			b.WriteString("none\n")
		}
	}
	return b.String()
}

// hasWork checks that the files are as the agent made them.
func (f *fixture) hasWork() {
	f.t.Helper()
	for name, want := range map[string]string{"main.go": "package changed\n", "new/file.sh": "#!/bin/sh\n", "dir": "a file where a directory was\n"} {
		if data, err := os.ReadFile(filepath.Join(f.dir, name)); err != nil || string(data) != want {
			f.t.Errorf("%s is %q, %v, want %q", name, data, err, want)
		}
	}
	if _, err := os.Lstat(filepath.Join(f.dir, "gone.txt")); err == nil {
		f.t.Error("gone.txt is there")
	}
	data, err := os.ReadFile(filepath.Join(f.dir, "ten.txt"))
	if err != nil || !strings.HasSuffix(string(data), "9\nten\n") {
		f.t.Errorf("ten.txt is %q, %v", data, err)
	}
}

// What an agent's commits say of drivers, filters and hooks is never acted on,
// though the person has such programs configured. Nor does a merge driver of the
// person's own run: a file that is for one, changed by both, is a conflict.
func TestHomeRunsNothing(t *testing.T) {
	const trapped = "main.go"
	template := newFixture(t, "project")
	template.write(trapped, "1\n2\n3\n4\n5\n")
	template.git("commit", "-q", "-a", "-m", "base")
	template.agent("docs", func() {
		template.write(".gitattributes", "* merge=d filter=d diff=d\n")
		for _, hook := range []string{"post-merge", "pre-merge-commit", "post-checkout", "reference-transaction", "post-index-change", "commit-msg"} {
			template.write("hooks/"+hook, "#!/bin/sh\ntouch "+canaryName+"\n")
			if err := os.Chmod(filepath.Join(template.dir, "hooks", hook), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		template.write(trapped, "one\n2\n3\n4\n5\n")
		template.git("add", "-A")
		template.git("commit", "-q", "-m", "traps")
	})
	template.write(trapped, "1\n2\n3\n4\nfive\n")
	template.git("commit", "-q", "-a", "-m", "mine")
	ways := map[string]func(r *Repository) error{
		"apply":    func(r *Repository) error { _, err := r.Apply(t.Context(), ApplyOptions{Name: "docs"}); return err },
		"checkout": func(r *Repository) error { _, err := r.Checkout(t.Context(), "docs"); return err },
	}
	for _, how := range []How{HowMerge, HowSquash, HowRebase} {
		ways[string(how)] = func(r *Repository) error {
			_, err := r.Merge(t.Context(), MergeOptions{Name: "docs", How: how})
			return err
		}
	}
	for name, way := range ways {
		for _, own := range []bool{false, true} { // the person's own attributes name the driver, too
			f := template.copy(t)
			canary := filepath.Join(f.dir, canaryName)
			if own {
				f.write(".git/info/attributes", trapped+" merge=d\n")
			}
			for _, key := range []string{"merge.d.driver", "filter.d.smudge", "filter.d.clean", "filter.d.process", "diff.d.textconv", "diff.d.command", "core.fsmonitor"} {
				f.git("config", key, "touch "+canary+"; false")
			}
			f.git("config", "core.hooksPath", "hooks") // a directory that the agent fills
			err := way(f.open(f.dir))
			conflict := own && name != "checkout"
			if conflict != (sandbox.ErrorCode(err) == sandbox.CodeConflict) || !conflict && err != nil {
				t.Errorf("%s, own driver %t: %v", name, own, err)
			}
			if _, err := os.Lstat(canary); err == nil {
				t.Errorf("%s, own driver %t: something of the agent's choice ran", name, own)
			}
			out, _ := f.tryGit(f.dir, "status") // by itself git falls into it
			if _, err := os.Lstat(canary); err != nil {
				t.Errorf("the trap is none: %v: %s", err, out)
			}
		}
	}
}

const canaryName = "canary"
