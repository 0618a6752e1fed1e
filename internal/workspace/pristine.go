package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// pristine is a checkout of a tree that agents share as the lower layer of
// their own. Its lock is held shared as long as somebody uses it.
type pristine struct {
	dir  string
	lock *fileLock
}

func (p *pristine) tree() string  { return filepath.Join(p.dir, "tree") }
func (p *pristine) index() string { return filepath.Join(p.dir, "index") }

// pristineDir is where the cache holds checkouts.
func pristineDir(cacheDir string) string { return filepath.Join(cacheDir, "pristine") }

// pristineLock is the lock of one checkout, apart from it, so that it can be
// held while the checkout is made and removed.
func pristineLock(cacheDir, key string) string {
	return filepath.Join(pristineDir(cacheDir), "locks", key+".lock")
}

// pristineKey names a checkout: what is in it and whose it is.
func pristineKey(format, tree string, owner sandbox.Identity) string {
	return format + "-" + tree + "-" + strconv.Itoa(owner.UID)
}

// openPristine gives the shared checkout called key, making it if need be.
func openPristine(ctx context.Context, cacheDir, key string, build func(dir string) error) (*pristine, error) {
	dir := filepath.Join(pristineDir(cacheDir), key)
	lock, err := lockFile(ctx, pristineLock(cacheDir, key), unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	p := &pristine{dir: dir, lock: lock}
	for {
		if p.complete() {
			now := time.Now()
			if err := os.Chtimes(dir, now, now); err != nil { // what PrunePristine goes by
				return nil, errors.Join(fmt.Errorf("use checkout: %w", err), lock.unlock())
			}
			return p, nil
		}
		// flock(2) does not promote a lock in one step: another process may get
		// in between, build or prune, and so we look again each time.
		if err := lock.convert(ctx, unix.LOCK_EX); err != nil {
			return nil, errors.Join(err, lock.unlock())
		}
		if !p.complete() {
			if err := buildPristine(dir, build); err != nil {
				return nil, errors.Join(err, lock.unlock())
			}
		}
		if err := lock.convert(ctx, unix.LOCK_SH); err != nil {
			return nil, errors.Join(err, lock.unlock())
		}
	}
}

// complete reports whether the checkout stands: it is renamed into place whole.
func (p *pristine) complete() bool {
	_, err := os.Lstat(p.index())
	return err == nil
}

// buildPristine makes a checkout beside its place and moves it there.
func buildPristine(dir string, build func(dir string) error) error {
	temp := filepath.Join(filepath.Dir(dir), ".new-"+filepath.Base(dir))
	for _, d := range []string{temp, dir} { // what a crash left
		if err := RemoveTree(d); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return fmt.Errorf("make checkout: %w", err)
	}
	if err := build(temp); err != nil {
		return errors.Join(err, RemoveTree(temp))
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("make checkout: %w", err)
	}
	return nil
}

// checkout fills dir/tree with a tree and dir/index with an index whose stat
// data are those of the files, so that no git inside has to read them again.
// It works from the quarantine, a repository of ours: no filter, attribute or
// sparse pattern that the user configured applies.
func (w *Workspace) checkout(ctx context.Context, dir string) error {
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil { //nolint:gosec // the root of the tree as the agent sees it
		return fmt.Errorf("make checkout: %w", err)
	}
	c := w.quarantine("read-tree", "-m", "-u", w.rec.Start.Commit)
	c.workTree, c.dir, c.index = tree, tree, filepath.Join(dir, "index")
	c.config = map[string]string{"checkout.workers": "0", "core.sparseCheckout": "false", "core.splitIndex": "false"}
	if _, err := w.repo.git.run(ctx, c); err != nil {
		return w.checkoutError(err)
	}
	if !w.mustChown() {
		return nil
	}
	if err := chownTree(tree, w.rec.Owner); err != nil {
		return err
	}
	c.args, c.stdin = []string{"update-index", "-q", "--refresh"}, nil
	if _, err := w.repo.git.run(ctx, c); err != nil {
		return fmt.Errorf("refresh the index of the checkout: %w", err)
	}
	return nil
}

// checkoutError explains a checkout that failed for lack of objects.
func (w *Workspace) checkoutError(err error) error {
	return w.repo.objectsError(w.rec.Start, fmt.Errorf("check out %s: %w", w.rec.Start.Commit, err))
}

// objectsError explains what failed for lack of objects of a commit.
func (r *Repository) objectsError(base Base, err error) error {
	if r.settings.local("extensions.partialclone") == "" && !r.settings.promisor() {
		return err
	}
	return sandbox.Fail(sandbox.CodeRepository, err, "this is a partial clone, and files of that commit were never fetched; fetch them: git -C "+
		shellQuote(r.CommonDir)+" archive --output=/dev/null "+base.Commit)
}

// promisor reports whether a remote is one that objects are fetched from when
// they are needed.
func (s settings) promisor() bool {
	return slices.ContainsFunc(s, func(e setting) bool {
		return strings.HasPrefix(e.key, "remote.") && strings.HasSuffix(e.key, ".promisor") && e.value == "true"
	})
}

// chownTree gives everything below dir, and dir, to owner; links are not
// followed.
func chownTree(dir string, owner sandbox.Identity) error {
	root, err := os.OpenRoot(dir)
	if err == nil {
		err = errors.Join(fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return root.Lchown(path, owner.UID, owner.GID)
		}), root.Close())
	}
	if err != nil {
		return fmt.Errorf("give %q to uid %d: %w", dir, owner.UID, err)
	}
	return nil
}

// PrunePristine removes the shared checkouts that were not used for the longest
// time until keep are left, and whatever a crash left half made; those in use
// stay. It gives the number removed.
func PrunePristine(ctx context.Context, cfg Config, keep int) (int, error) {
	dir := pristineDir(cfg.CacheDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("prune checkouts: %w", err)
	}
	type item struct {
		name string
		used time.Time
	}
	var items []item
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || e.Name() == "locks" {
			continue // gone in the meantime
		}
		it := item{name: e.Name(), used: info.ModTime()}
		if strings.HasPrefix(it.name, ".new-") {
			it.used = time.Time{}
		}
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b item) int { return b.used.Compare(a.used) })
	removed := 0
	for i, it := range items {
		if i < keep && !it.used.IsZero() {
			continue
		}
		if ctx.Err() != nil {
			return removed, context.Cause(ctx)
		}
		done, err := prunePristine(cfg.CacheDir, it.name)
		if err != nil {
			return removed, err
		}
		if done {
			removed++
		}
	}
	return removed, nil
}

// prunePristine removes one checkout, unless somebody uses it.
func prunePristine(cacheDir, name string) (done bool, err error) {
	path := pristineLock(cacheDir, strings.TrimPrefix(name, ".new-"))
	lock, err := openLock(path)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, lock.unlock()) }()
	taken, err := lock.try(unix.LOCK_EX)
	if err != nil || !taken {
		return false, err
	}
	return true, RemoveTree(filepath.Join(pristineDir(cacheDir), name))
}
