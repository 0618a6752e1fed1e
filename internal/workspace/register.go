package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// register makes an empty worktree of an agent's branch at path.
//
// `git worktree add` does it in steps that others can see: for a moment the new
// HEAD names the object 000..., and a `git fetch` of the user that looks at all
// worktrees just then fails. So the entry is written beside its place, in the
// few files that gitrepository-layout(5) describes, and renamed there whole.
func (r *Repository) register(ctx context.Context, name, path string) error {
	if format := r.settings.local("extensions.refstorage"); format != "" && format != "files" {
		return r.git.retry(ctx, r.common("worktree", "add", "--no-checkout", "--force", "--quiet", path, Branch(name)), "")
	}
	if err := r.makeDirs(path); err != nil {
		return err
	}
	all := filepath.Join(r.CommonDir, "worktrees")
	if err := r.makeDirs(all); err != nil {
		return err
	}
	temp := filepath.Join(r.CommonDir, scrapMade+name)
	if err := RemoveTree(temp); err != nil { // what a crash left
		return err
	}
	if err := r.makeDirs(temp); err != nil {
		return err
	}
	admin, err := freeAdmin(all, name)
	if err != nil {
		return errors.Join(err, RemoveTree(temp))
	}
	for file, line := range map[string]string{
		filepath.Join(temp, "HEAD"):      "ref: " + branchRef(name),
		filepath.Join(temp, "commondir"): "../..",
		filepath.Join(temp, "gitdir"):    filepath.Join(path, ".git"),
		filepath.Join(path, ".git"):      "gitdir: " + admin,
	} {
		if err := r.writeLine(file, line); err != nil {
			return errors.Join(err, RemoveTree(temp))
		}
	}
	if err := os.Rename(temp, admin); err != nil {
		return errors.Join(err, RemoveTree(temp))
	}
	return nil
}

// What begins so in the common git directory is a registration on its way in or
// out.
const (
	scrapMade    = "agent-process-worktree-"
	scrapRemoved = "agent-process-removed-"
)

// sweep removes the registrations that a crash left on their way. Under the
// repository's lock nobody is at work on one.
func (r *Repository) sweep() error {
	entries, err := os.ReadDir(r.CommonDir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), scrapMade) || strings.HasPrefix(e.Name(), scrapRemoved) {
			errs = append(errs, RemoveTree(filepath.Join(r.CommonDir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// freeAdmin finds a name that no worktree is registered under; like git, it
// numbers them.
func freeAdmin(all, name string) (string, error) {
	for n := range 1000 {
		admin := filepath.Join(all, name)
		if n > 0 {
			admin += fmt.Sprint(n)
		}
		if _, err := os.Lstat(admin); errors.Is(err, fs.ErrNotExist) {
			return admin, nil
		}
	}
	return "", fmt.Errorf("every name for worktree %q is taken", name)
}

// makeDirs makes path and what is missing above it, for the repository's owner.
func (r *Repository) makeDirs(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if err := r.makeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	err := os.Mkdir(path, 0o777) //nolint:gosec // as git makes it: the user's umask decides
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.give(path)
}

func (r *Repository) writeLine(path, line string) error {
	if err := os.WriteFile(path, []byte(line+"\n"), 0o666); err != nil { //nolint:gosec // as git writes it: the user's umask decides
		return err
	}
	return r.give(path)
}

// give hands a path over to the repository's owner, when we are root.
func (r *Repository) give(path string) error {
	if r.git.cred == nil {
		return nil
	}
	return os.Lchown(path, int(r.git.cred.Uid), int(r.git.cred.Gid))
}

// unregister removes a worktree and its registration, which goes in one step.
func (r *Repository) unregister(g registration) error {
	if err := RemoveTree(g.path); err != nil {
		return err
	}
	temp := filepath.Join(r.CommonDir, scrapRemoved+filepath.Base(g.admin))
	if err := errors.Join(RemoveTree(temp), os.Rename(g.admin, temp), RemoveTree(temp)); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(g.path))  // these go only
	_ = os.Remove(filepath.Dir(g.admin)) // when they are empty
	return nil
}

// onlyPointer reports whether path is what a crash in register leaves: a
// directory with nothing but a .git that points to an entry of ours that is not
// there, or the beginning of one.
func (r *Repository) onlyPointer(path string) bool {
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) > 1 {
		return false
	}
	if len(entries) == 0 {
		return true
	}
	data, err := os.ReadFile(filepath.Join(path, ".git"))
	text, pointer := string(data), "gitdir: "+filepath.Join(r.CommonDir, "worktrees")+"/"
	return err == nil && (strings.HasPrefix(text, pointer) || strings.HasPrefix(pointer, text))
}
