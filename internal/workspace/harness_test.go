//go:build linux

package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// helperEnv makes the test binary a helper instead of a test run.
const helperEnv = "WORKSPACE_TEST_HELPER"

// TestMain runs the tests, or what a test started this binary for.
func TestMain(m *testing.M) {
	switch os.Getenv(helperEnv) {
	case "":
		m.Run()
	case "box":
		helperFail(boxMain())
	case "start":
		helperFail(startMain())
	case "import":
		helperFail(importMain())
	case "home":
		helperFail(homeMain())
	}
}

func helperFail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		syscall.Exit(125)
	}
}

// boxSpec is what the helper "box" is told.
type boxSpec struct {
	Root   string // an empty directory
	Mounts []sandbox.Mount
	UID    int
	GID    int
	Argv   []string
	Env    []string
	Dir    string
}

// boxMain emulates the mounts of a sandbox in a mount namespace of its own, with
// an empty /tmp, where tests keep everything: so that the host's repository is
// out of reach as it is in a real sandbox. The real isolation is for the
// runtime's own tests.
func boxMain() error {
	var s boxSpec
	if err := json.Unmarshal([]byte(os.Getenv("BOX_SPEC")), &s); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	argv0 := "/usr/bin/" + s.Argv[0]
	return syscall.Exec(argv0, s.Argv, s.Env)
}

// enter makes the mounts, in a mount namespace that is the caller's own, and
// makes them its root.
func (s *boxSpec) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private: %w", err)
	}
	if err := unix.Mount("/", s.Root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("rbind: %w", err)
	}
	if err := unix.Mount("tmpfs", s.Root+"/tmp", "tmpfs", 0, "mode=1777"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	if err := unix.Mount("tmpfs", s.Root+"/opt", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	if err := unix.Mount("tmpfs", s.Root+"/mnt", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	for _, m := range s.Mounts {
		if m.Target == privateInside {
			m.Target = "/mnt" + m.Target // the real root cannot get a directory here
		}
		if err := boxMount(s.Root, m); err != nil {
			return fmt.Errorf("mount %+v: %w", m, err)
		}
	}
	if err := unix.Chroot(s.Root); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := unix.Chdir(s.Dir); err != nil {
		return fmt.Errorf("chdir: %w", err)
	}
	return nil
}

func boxMount(root string, m sandbox.Mount) error {
	target := root + m.Target
	info, err := os.Stat(m.Source)
	if m.Kind == sandbox.MountOverlay || err == nil && info.IsDir() {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
	}
	if m.Kind == sandbox.MountOverlay {
		opts := "index=off,lowerdir=" + strings.Join(append(slices.Clone(m.Lowers), m.Lower), ":")
		if m.Upper != "" {
			opts += ",upperdir=" + m.Upper + ",workdir=" + m.Work
		}
		if os.Geteuid() != 0 {
			opts += ",userxattr"
		}
		return unix.Mount("overlay", target, "overlay", 0, opts)
	}
	if err := unix.Mount(m.Source, target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if m.ReadOnly {
		return unix.MountSetattr(-1, target, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	}
	return nil
}

// box is a small Execer: each program runs in a fresh namespace over the same
// mounts, which for files is as good as one that lives on.
type box struct {
	t      testing.TB
	dir    func() string // an empty directory each time; nil means t's
	mounts []sandbox.Mount
	owner  sandbox.Identity
}

// process is a running helper.
type process struct{ cmd *exec.Cmd }

func (p *process) Wait() (sandbox.Exit, error) {
	err := p.cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		err = nil
	}
	return sandbox.Exit{Code: p.cmd.ProcessState.ExitCode()}, err
}
func (p *process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }
func (p *process) Resize(sandbox.TTY) error        { return nil }

// Exec implements Execer.
func (b *box) Exec(ctx context.Context, c sandbox.Command) (sandbox.Process, error) {
	if b.dir == nil {
		b.dir = b.t.TempDir
	}
	spec := boxSpec{
		Root: b.dir(), Mounts: b.mounts, UID: b.owner.UID, GID: b.owner.GID,
		Argv: c.Argv, Env: c.Env, Dir: firstOf(c.Dir, "/"),
	}
	if os.Geteuid() == 0 {
		cmd := exec.CommandContext(ctx, "/usr/bin/"+c.Argv[0], c.Argv[1:]...)
		cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Env, c.Stdin, c.Stdout, c.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(spec.UID), Gid: uint32(spec.GID)}}
		return &process{cmd: cmd}, spec.start(cmd)
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = []string{helperEnv + "=box", "BOX_SPEC=" + string(data)}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		// An overlay works with the rights of who mounted it.
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_CHOWN},
	}
	return &process{cmd: cmd}, cmd.Start()
}

// start starts a program in the box from a thread that ends with that: root
// need not run this binary once more for it.
func (s *boxSpec) start(cmd *exec.Cmd) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
		if err == nil {
			err = s.enter()
		}
		if err == nil {
			err = cmd.Start()
		}
		done <- err
	}()
	return <-done
}

// sh runs a script of the agent in its tree.
func (b *box) sh(script string) string {
	b.t.Helper()
	out, exit := b.try(script)
	if exit != 0 {
		b.t.Fatalf("inside: %s\nended with %d: %s", script, exit, out)
	}
	return out
}

func (b *box) try(script string) (string, int) {
	b.t.Helper()
	var out bytes.Buffer
	p, err := b.Exec(b.t.Context(), sandbox.Command{
		Argv: []string{"sh", "-euc", script}, Dir: b.mounts[0].Target,
		Env:    []string{"PATH=" + insidePath, "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1"},
		Stdout: &out, Stderr: &out,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	exit, err := p.Wait()
	if err != nil {
		b.t.Fatal(err)
	}
	return out.String(), exit.Code
}

// uploadPack is a small UploadPack.
func uploadPack(t testing.TB, owner sandbox.Identity) UploadPack {
	t.Helper()
	return uploadPackIn(t.TempDir, owner)
}

func uploadPackIn(dir func() string, owner sandbox.Identity) UploadPack {
	return func(ctx context.Context, spec UploadSpec, conn *os.File) error {
		b := &box{dir: dir, mounts: spec.Mounts, owner: owner}
		argv := append([]string{}, spec.Argv...)
		argv[len(argv)-1] = "/mnt" + argv[len(argv)-1]
		var complaint bytes.Buffer
		p, err := b.Exec(ctx, sandbox.Command{Argv: argv, Env: spec.Env, Stdin: conn, Stdout: conn, Stderr: &complaint})
		if err != nil {
			return err
		}
		exit, err := p.Wait()
		if err == nil && exit.Code != 0 {
			err = fmt.Errorf("upload-pack ended with %d: %s", exit.Code, complaint.String())
		}
		return err
	}
}

// needMounts skips or fails a test that cannot make mount namespaces.
func needMounts(t testing.TB) {
	t.Helper()
	b := &box{t: t, mounts: []sandbox.Mount{{Kind: sandbox.MountBind, Source: t.TempDir(), Target: "/mnt/x"}}, owner: testOwner()}
	if out, exit := b.try("true"); exit != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("wants a mount namespace, got: %s", out)
		}
		t.Skipf("wants a mount namespace, got: %s", out)
	}
}

// testOwner is whom agents in tests are: somebody else when we are root.
func testOwner() sandbox.Identity {
	if os.Geteuid() == 0 {
		return sandbox.Identity{UID: 61234, GID: 61234}
	}
	return sandbox.Identity{UID: os.Getuid(), GID: os.Getgid()}
}

// fixture is a repository of a user, and what we keep beside it.
type fixture struct {
	t    testing.TB
	root string // all of it
	dir  string // the worktree
	env  []string
	cfg  Config
}

// tempDir is a t.TempDir that RemoveTree empties, since an overlay leaves what
// the test's own cleaning cannot remove.
func tempDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // others own parts of it
		t.Fatal(err)
	}
	t.Cleanup(func() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			if err := RemoveTree(filepath.Join(dir, e.Name())); err != nil {
				t.Error(err)
			}
		}
	})
	return dir
}

// testTime is now, as tests have it.
func testTime() time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("somewhere", 2*3600))
}

// newFixture makes a repository with one commit; options go to `git init`.
func newFixture(t testing.TB, name string, options ...string) *fixture {
	t.Helper()
	f := emptyFixture(t, name, options...)
	f.write("main.go", "package main\n\nfunc main() {}\n")
	f.write("docs/read me.txt", "read me\n")
	f.write(".gitignore", ".env\n*.secret\nbuild/\n")
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "first commit")
	return f
}

// personalSettings are those of the person. What git tidies up by itself would
// go on after the test.
const personalSettings = `[user]
	name = Ümit Tester
	email = tester@example.com
[init]
	defaultBranch = main
	templateDir =
[gc]
	auto = 0
[maintenance]
	auto = false
`

func emptyFixture(t testing.TB, name string, options ...string) *fixture {
	t.Helper()
	root := tempDir(t)
	home := filepath.Join(root, "home")
	f := &fixture{t: t, root: root, dir: filepath.Join(root, "work", name)}
	f.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "USER=tester", "TZ=UTC"}
	f.cfg = Config{StateDir: filepath.Join(root, "state"), CacheDir: filepath.Join(root, "cache"), Environ: f.env, Now: testTime}
	for _, d := range []string{home, f.dir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(personalSettings), 0o644); err != nil {
		t.Fatal(err)
	}
	f.gitAt(f.root, append(append([]string{"init", "-q"}, options...), f.dir)...)
	return f
}

func (f *fixture) mkdir(name string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Join(f.dir, name), 0o755); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) write(name, data string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	f.mkdir(filepath.Dir(name))
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// git runs git as the user does.
func (f *fixture) git(args ...string) string {
	f.t.Helper()
	return f.gitAt(f.dir, args...)
}

func (f *fixture) gitAt(dir string, args ...string) string {
	f.t.Helper()
	out, err := f.tryGit(dir, args...)
	if err != nil {
		f.t.Fatalf("git %q: %v: %s", args, err, out)
	}
	return out
}

// gitWith is git with something on its standard input.
func (f *fixture) gitWith(stdin string, args ...string) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), "git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = f.dir, f.env, strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("git %q: %v: %s", args, err, out)
	}
}

func (f *fixture) tryGit(dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(context.WithoutCancel(f.t.Context()), "git", args...)
	cmd.Dir, cmd.Env = dir, f.env
	out, err := cmd.CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

func (f *fixture) open(dir string) *Repository {
	f.t.Helper()
	r, err := Open(f.t.Context(), dir, f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// started is an agent whose workspace stands.
type started struct {
	*fixture
	repo  *Repository
	base  Base
	claim *Claim
	ws    *Workspace
}

// start does what the beginning of a run does.
func (f *fixture) start(name string, change func(*Options)) *started {
	f.t.Helper()
	s := &started{fixture: f, repo: f.open(f.dir)}
	ctx := f.t.Context()
	var err error
	if s.base, err = s.repo.Resolve(ctx, ""); err != nil {
		f.t.Fatal(err)
	}
	if s.claim, err = s.repo.Claim(ctx, name, s.base); err != nil {
		f.t.Fatal(err)
	}
	o := Options{Name: name, Base: s.base, RunDir: filepath.Join(f.root, "runs", name), Owner: testOwner(), Overlay: true}
	if change != nil {
		change(&o)
	}
	if s.ws, err = s.repo.Prepare(ctx, o); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := s.ws.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return s
}

func (s *started) box() *box {
	return &box{t: s.t, mounts: s.ws.Mounts(), owner: testOwner()}
}

// land commits and imports what the agent made.
func (s *started) land() ImportResult {
	s.t.Helper()
	if _, err := s.ws.Commit(s.t.Context(), s.box(), Message{Subject: "work"}); err != nil {
		s.t.Fatal(err)
	}
	return s.bring()
}

func (s *started) bring() ImportResult {
	s.t.Helper()
	result, err := s.ws.Import(s.t.Context(), uploadPack(s.t, testOwner()))
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// startMain is a start in a process of its own: claim, prepare, worktree.
func startMain() error {
	var f struct {
		Dir, Name, RunDir string
		Cfg               struct{ StateDir, CacheDir string }
		Env               []string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&f); err != nil {
		return err
	}
	ctx := context.Background()
	cfg := Config{StateDir: f.Cfg.StateDir, CacheDir: f.Cfg.CacheDir, Environ: f.Env, Now: testTime}
	r, err := Open(ctx, f.Dir, cfg)
	if err != nil {
		return err
	}
	base, err := r.Resolve(ctx, "")
	if err != nil {
		return err
	}
	if _, err := r.Claim(ctx, f.Name, base); err != nil {
		return err
	}
	ws, err := r.Prepare(ctx, Options{Name: f.Name, Base: base, RunDir: f.RunDir, Owner: testOwner(), Overlay: true})
	if err != nil {
		return err
	}
	if err := ws.AddWorktree(ctx); err != nil {
		return err
	}
	return ws.Close()
}

// importMain is an import in a process of its own, of a run that stands.
func importMain() error {
	var f struct {
		Dir, RunDir, Temp string
		Cfg               struct{ StateDir, CacheDir string }
		Env               []string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&f); err != nil {
		return err
	}
	ctx := context.Background()
	r, err := Open(ctx, f.Dir, Config{StateDir: f.Cfg.StateDir, CacheDir: f.Cfg.CacheDir, Environ: f.Env, Now: testTime})
	if err != nil {
		return err
	}
	ws, err := r.Reopen(ctx, f.RunDir)
	if err != nil {
		return err
	}
	_, err = ws.Import(ctx, uploadPackIn(func() string {
		dir, err := os.MkdirTemp(f.Temp, "")
		if err != nil {
			helperFail(err)
		}
		return dir
	}, testOwner()))
	return err
}
