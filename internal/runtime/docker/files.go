package docker

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"agentprocess/internal/sandbox"
)

// addFiles sees to the files of the spec: PID 1 writes the agent's own and
// those in our directory; the others are bound in read-only, so that the agent
// can neither change nor remove them.
func (p *planner) addFiles(files []sandbox.File) error {
	for i, f := range files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
			return fmt.Errorf("file %q: not a clean absolute path", f.Path)
		}
		if f.Owned || strings.HasPrefix(f.Path, sandbox.RunDir+"/") {
			p.files = append(p.files, f)
			continue
		}
		if err := p.mountPoint(f.Path); err != nil {
			return fmt.Errorf("file %q: %w", f.Path, err)
		}
		name := filepath.Join(p.dir, strconv.Itoa(i))
		if err := writeFile(name, f.Data, fs.FileMode(cmp.Or(f.Mode, 0o444)&0o777)); err != nil {
			return fmt.Errorf("file %q: %w", f.Path, err)
		}
		p.bind(name, f.Path, true)
	}
	return nil
}

func writeFile(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// mountPoint makes, as the agent's, what a file is mounted on where that is in
// a directory of the host's: the engine would make it as root's.
func (p *planner) mountPoint(target string) error {
	for _, m := range p.spec.Mounts {
		rest, below := strings.CutPrefix(target, path.Clean(m.Target)+"/")
		if !below || m.Kind != sandbox.MountBind || m.ReadOnly {
			continue
		}
		if err := noLinks(m.Source, rest); err != nil {
			return err
		}
		return p.makeFile(m.Source, rest)
	}
	return nil
}

// makeFile makes an empty file below dir, and the directories to it.
func (p *planner) makeFile(dir, name string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	parts := strings.Split(name, "/")
	for i := range parts[1:] {
		part := strings.Join(parts[:i+1], "/")
		if err := root.Mkdir(part, 0o755); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := root.Lchown(part, p.spec.Identity.UID, p.spec.Identity.GID); err != nil {
			return err
		}
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), root.Lchown(name, p.spec.Identity.UID, p.spec.Identity.GID))
}
