//go:build linux

package workspace

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// signers give the person a key, by the name of gpg.format.
func signers() map[string]func(t *testing.T, f *fixture) {
	return map[string]func(t *testing.T, f *fixture){
		"ssh": func(t *testing.T, f *fixture) {
			t.Helper()
			key := filepath.Join(f.root, "key")
			f.tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tester@example.com", "-f", key)
			public, err := os.ReadFile(key + ".pub")
			if err == nil {
				err = os.WriteFile(key+".allowed", append([]byte("tester@example.com "), public...), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.git("config", "gpg.format", "ssh")
			f.git("config", "user.signingKey", key+".pub")
			f.git("config", "gpg.ssh.allowedSignersFile", key+".allowed")
		},
		"openpgp": func(t *testing.T, f *fixture) {
			t.Helper()
			home := t.TempDir()
			f.env = append(f.env, "GNUPGHOME="+home)
			f.cfg.Environ = f.env
			t.Cleanup(func() { f.tool("gpgconf", "--kill", "all") })
			if err := os.Chmod(home, 0o700); err != nil {
				t.Fatal(err)
			}
			f.tool("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "Tester <tester@example.com>", "ed25519", "sign")
			f.git("config", "user.signingKey", "tester@example.com")
		},
	}
}

// tool runs a program as the person does; a test whose machine lacks it is
// skipped.
func (f *fixture) tool(argv ...string) {
	f.t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		if os.Getenv("CI") == "true" {
			f.t.Fatal(err)
		}
		f.t.Skip(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // also at the end of the test
	cmd.Env = f.env
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("%q: %v: %s", argv, err, out)
	}
}

// Commits of an agent are signed after they were inspected, with the person's
// key: as they are otherwise, and without a difference to what is imported later.
func TestSign(t *testing.T) {
	t.Parallel()
	needMounts(t)
	for format, configure := range signers() {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "project")
			f.git("branch", "other")
			f.git("commit", "-q", "--allow-empty", "-m", "unsigned, of a colleague")
			colleague := f.git("rev-parse", "HEAD")
			f.git("tag", "theirs")
			f.git("checkout", "-q", "other")
			configure(t, f)
			f.git("config", "commit.gpgSign", "true")
			s := f.start("docs", nil)
			s.box().sh("echo 1 > 1.txt; git add -A; git -c user.name='Some  One' commit -qm 'first\n\nand more' --date='2020-01-02T03:04:05 +0530'; git merge -q --no-ff -m merge " + colleague + "; echo 2 > 2.txt")
			unsigned := s.land().Tip
			signed, err := s.ws.Sign(t.Context())
			if err != nil || signed.Why != "" || signed.Commits != 3 {
				t.Fatalf("signed %+v, %v", signed, err)
			}
			if got := f.git("log", "--format=%G?%s", "agent--docs", "^main"); got != "Gwork\nGmerge\nGfirst" && got != "Uwork\nUmerge\nUfirst" {
				t.Errorf("signatures of %q", got)
			}
			const all = "--format=%T %an %ae %ad %cn %ce %cd %B"
			if was, is := f.git("log", "--date=raw", all, unsigned, "^main"), f.git("log", "--date=raw", all, "agent--docs", "^main"); was != is {
				t.Errorf("signing changed\n%s\nto\n%s", was, is)
			}
			f.git("merge-base", "--is-ancestor", colleague, "agent--docs")
			if again := s.bring(); again.Tip != signed.Tip || again.Diverged || again.Replaced != "" {
				t.Errorf("the next import: %+v", again)
			}
			s.box().sh("echo 3 > 3.txt")
			if more := s.land(); more.Diverged || more.Replaced == "" || f.git("show", "agent--docs:3.txt") != "3" {
				t.Errorf("what came after it: %+v", more)
			}
			f.git("fsck", "--strict")
		})
	}
}

// What cannot be signed comes home unsigned, and says why; no program is run
// that an agent could have written.
func TestSignsNotByWhatAnAgentWrote(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, key, value, why string }{
		{"a program of the tree", "gpg.program", "./sign.sh", "depends on where git stands"},
		{"a program of the tree, for ssh", "gpg.ssh.program", "tools/sign.sh", "depends on where git stands"},
		{"a program of the tree that has the key", "gpg.ssh.defaultKeyCommand", "./sign.sh", "depends on where git stands"},
		{"no such program", "gpg.program", "/nonexistent/gpg", "/nonexistent/gpg"},
		{"not asked for", "commit.gpgSign", "false", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := homeFixture(t)
			for _, script := range []string{"sign.sh", "tools/sign.sh"} {
				f.write(script, "#!/bin/sh\ntouch "+filepath.Join(f.root, "canary")+"\n")
				if err := os.Chmod(filepath.Join(f.dir, script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			f.git("config", "commit.gpgSign", "true")
			f.git("config", tt.key, tt.value)
			tip, base := f.git("rev-parse", Branch("docs")), f.git("rev-parse", "HEAD")
			w := &Workspace{repo: f.open(f.dir), runDir: t.TempDir()}
			w.rec = record{Name: "docs", Base: Base{Commit: base}, Start: Base{Commit: base}, Tip: tip}
			signed, err := w.Sign(t.Context())
			if err != nil || signed.Tip != "" || (signed.Why == "") != (tt.why == "") || !strings.Contains(signed.Why, tt.why) {
				t.Errorf("signed %+v, %v, want %q", signed, err, tt.why)
			}
			if got := f.git("rev-parse", Branch("docs")); got != tip {
				t.Errorf("the branch is at %s, want %s", got, tip)
			}
			if _, err := os.Stat(filepath.Join(f.root, "canary")); err == nil {
				t.Error("a program of the tree ran")
			}
		})
	}
}

func FuzzIdentities(f *testing.F) {
	f.Add([]byte("tree " + idA + "\nauthor A <a@b> 1 +0530\ncommitter C D <> 2 -0000\nencoding latin1\ngpgsig x\n y"))
	f.Fuzz(func(t *testing.T, head []byte) {
		env, _ := identities(head)
		for _, kv := range env {
			if !strings.HasPrefix(kv, "GIT_AUTHOR_") && !strings.HasPrefix(kv, "GIT_COMMITTER_") || strings.Contains(kv, "\n") {
				t.Errorf("variable %q", kv)
			}
		}
	})
}
