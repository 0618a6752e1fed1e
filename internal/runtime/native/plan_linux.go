package native

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"agentprocess/internal/runtime/idmap"
	"agentprocess/internal/sandbox"
)

// Sizes of the memory file systems.
const (
	sizeRoot   = 16 << 20
	sizeDev    = 1 << 20
	sizeTmp    = 1 << 30
	sizeVarTmp = 256 << 20
	sizeRun    = 16 << 20
	sizeShm    = 1 << 30 // browsers need this much
	sizeHome   = 1 << 30
)

// baseLinks are the directories of a merged /usr: symbolic links on most
// hosts, directories on some.
func baseLinks() []string {
	return []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}
}

// baseDirs are shown read-only when the host has them; the last two are where
// some distributions keep every program.
func baseDirs() []string { return []string{"/usr", "/nix/store", "/gnu/store"} }

// baseEtc are the entries of /etc that programs need and that hold no secret;
// the rest of /etc is made up. A star at the end stands for any rest.
func baseEtc() []string {
	return []string{
		"ssl", "ca-certificates", "pki", "crypto-policies", "alternatives", "ld.so.cache", "localtime", "timezone",
		"mime.types", "terminfo", "os-release", "lsb-release", "debian_version", "redhat-release", "alpine-release",
		"profile", "profile.d", "bash.bashrc", "bashrc", "inputrc", "services", "protocols", "fonts", "locale.conf",
		"locale.alias", "java*", "python3*", "perl", "maven", "php", "xml", "sgml",
	}
}

// devices are the nodes of /dev.
func devices() []string { return []string{"null", "zero", "full", "random", "urandom", "tty"} }

// plan is what a sandbox's root is made of.
type plan struct {
	trees []tree
	// links are symbolic links of the root, name to target.
	links [][2]string
	// covers are files shown empty: credentials inside a toolchain.
	covers   []string
	files    []sandbox.File
	toolPath string
	notes    []string
}

// newPlan turns a spec into the trees of its root. self is our own binary.
func newPlan(spec sandbox.Spec, tools toolchains, self string) (plan, error) {
	p := plan{toolPath: tools.path, covers: tools.covers, notes: tools.notes}
	p.addBase()
	for _, dir := range tools.roots {
		p.trees = append(p.trees, tree{Kind: treeBind, Source: dir, Target: dir, ReadOnly: true, IDMap: idmap.Closed(dir)})
	}
	if err := p.addBinary(self); err != nil {
		return plan{}, err
	}
	if !slices.ContainsFunc(spec.Mounts, func(m sandbox.Mount) bool { return path.Clean(m.Target) == path.Clean(spec.Home) }) && spec.Home != "" {
		p.trees = append(p.trees, tree{Kind: treeTmpfs, Target: spec.Home, Size: sizeHome, Mode: 0o700})
	}
	for _, m := range spec.Mounts {
		t, ok, err := specTree(m)
		if err != nil {
			return plan{}, err
		}
		if ok {
			p.trees = append(p.trees, t)
		}
	}
	// A parent first: what is mounted on it would be hidden otherwise. Equal
	// depth keeps the order of the spec.
	slices.SortStableFunc(p.trees, func(a, b tree) int { return cmp.Compare(depth(a.Target), depth(b.Target)) })
	return p, p.check()
}

// addBinary shows our own binary. self is its name, empty when the file is no
// longer under the name it was started by, as after an upgrade; then a copy of
// what runs is shown.
func (p *plan) addBinary(self string) error {
	if self != "" {
		p.trees = append(p.trees, tree{Kind: treeBind, Source: self, Target: sandbox.BinaryPath, ReadOnly: true, Single: true, IDMap: idmap.Closed(self)})
		return nil
	}
	data, err := os.ReadFile(selfExe)
	if err != nil {
		return fmt.Errorf("read own binary: %w", err)
	}
	p.trees = append(p.trees, tree{Kind: treeTmpfs, Target: path.Dir(sandbox.BinaryPath), Size: int64(len(data)) + 1<<20, Mode: 0o755, ReadOnly: true, Late: true})
	p.files = append(p.files, sandbox.File{Path: sandbox.BinaryPath, Data: data, Mode: 0o555})
	return nil
}

// binary is the name of the file that is shown as ours, empty when there is
// none to show.
func (r *Runtime) binary() string {
	if r.config.Program != "" {
		return r.config.Program
	}
	return ownBinary()
}

// ownBinary is the name of the file that we run, empty when it was replaced.
func ownBinary() string {
	name, err := os.Readlink(selfExe)
	if err != nil {
		return ""
	}
	running, rerr := os.Stat(selfExe)
	named, nerr := os.Stat(name)
	if rerr != nil || nerr != nil || !os.SameFile(running, named) {
		return ""
	}
	return name
}

func depth(target string) int { return strings.Count(strings.TrimSuffix(target, "/"), "/") }

// check refuses targets that would need a file made in a read-only directory
// of the host.
func (p plan) check() error {
	for _, t := range p.trees {
		for _, base := range baseDirs() {
			if strings.HasPrefix(t.Target, base+"/") {
				return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("mount target %q is below %q, which is the host's own and read-only", t.Target, base),
					"choose a target outside it, such as one below /opt")
			}
		}
		for _, l := range p.links {
			if strings.HasPrefix(t.Target+"/", l[0]+"/") {
				return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("mount target %q: %q is a link to %q", t.Target, l[0], l[1]),
					"choose a target outside it, such as one below /opt")
			}
		}
	}
	return nil
}

func (p *plan) addBase() {
	for _, dir := range baseDirs() {
		p.trees = append(p.trees, tree{Kind: treeBind, Source: dir, Target: dir, ReadOnly: true, Optional: dir != "/usr"})
	}
	for _, dir := range baseLinks() {
		if to, err := os.Readlink(dir); err == nil {
			p.links = append(p.links, [2]string{dir, to})
		} else if errors.Is(err, fs.ErrNotExist) {
			continue
		} else {
			p.trees = append(p.trees, tree{Kind: treeBind, Source: dir, Target: dir, ReadOnly: true})
		}
	}
	p.addEtc()
	p.addDev()
	p.trees = append(p.trees,
		tree{Kind: treeTmpfs, Target: "/tmp", Size: sizeTmp, Mode: 0o1777},
		tree{Kind: treeTmpfs, Target: "/var/tmp", Size: sizeVarTmp, Mode: 0o1777},
		tree{Kind: treeTmpfs, Target: "/run", Size: sizeRun, Mode: 0o755},
		tree{Kind: treeTmpfs, Target: sandbox.RunDir, Size: sizeRun, Mode: 0o755, ReadOnly: true, Late: true},
		tree{Kind: treeProc, Target: "/proc", NoExec: true})
}

// matches reports whether a name is the pattern, or begins with what stands
// before the pattern's star at its end.
func matches(pattern, name string) bool {
	stem, prefix := strings.CutSuffix(pattern, "*")
	return name == pattern || prefix && strings.HasPrefix(name, stem)
}

func (p *plan) addEtc() {
	entries, err := os.ReadDir("/etc")
	if err != nil {
		return // a host without /etc has nothing to show there
	}
	shown := baseEtc()
	for _, e := range entries {
		if !slices.ContainsFunc(shown, func(pattern string) bool { return matches(pattern, e.Name()) }) {
			continue
		}
		name := "/etc/" + e.Name()
		if e.Type()&fs.ModeSymlink != 0 {
			if to, err := filepath.EvalSymlinks(name); err == nil && inBase(to) {
				p.links = append(p.links, [2]string{name, to}) // cheaper than a mount
				continue
			}
		}
		p.trees = append(p.trees, tree{Kind: treeBind, Source: name, Target: name, ReadOnly: true, Optional: true})
	}
}

func (p *plan) addDev() {
	p.trees = append(p.trees, tree{Kind: treeTmpfs, Target: "/dev", Size: sizeDev, Mode: 0o755, ReadOnly: true, Late: true})
	for _, d := range devices() {
		p.trees = append(p.trees, tree{Kind: treeBind, Source: "/dev/" + d, Target: "/dev/" + d, NoExec: true, Device: true, Single: true, ReadOnly: true})
	}
	p.trees = append(p.trees,
		tree{Kind: treeDevpts, Target: "/dev/pts", NoExec: true, Device: true},
		tree{Kind: treeTmpfs, Target: "/dev/shm", Size: sizeShm, Mode: 0o1777})
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		p.links = append(p.links, [2]string{"/dev/" + name, to})
	}
}

// specTree turns one mount of a spec into a tree.
func specTree(m sandbox.Mount) (tree, bool, error) {
	if !filepath.IsAbs(m.Target) || path.Clean(m.Target) == "/" {
		return tree{}, false, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("mount target %q is not an absolute path below /", m.Target), "")
	}
	t := tree{Target: path.Clean(m.Target), ReadOnly: m.ReadOnly, NoExec: m.NoExec, Optional: m.Optional}
	switch m.Kind {
	case sandbox.MountBind:
		_, err := os.Stat(m.Source)
		switch {
		case errors.Is(err, fs.ErrNotExist) && m.Optional:
			return tree{}, false, nil
		case err != nil:
			return tree{}, false, fmt.Errorf("mount source of %q: %w", m.Target, err)
		}
		t.Kind, t.Source = treeBind, m.Source
		// Only where it must be: with the mapping, what belongs to the agent's
		// own id already would be nobody's.
		t.IDMap = m.ReadOnly && idmap.Closed(m.Source)
	case sandbox.MountTmpfs:
		t.Kind, t.Size, t.Mode = treeTmpfs, cmp.Or(m.Size, sizeHome), 0o755
	case sandbox.MountOverlay:
		return overlayTree(t, m)
	default:
		return tree{}, false, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("mount %q: unknown kind %q", m.Target, m.Kind), "")
	}
	return t, true, nil
}

// overlayTree adds the layers of an overlay. One layer alone is no overlay to
// the kernel, so it is bound.
func overlayTree(t tree, m sandbox.Mount) (tree, bool, error) {
	if (m.Upper == "") != (m.Work == "") {
		return tree{}, false, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("overlay %q: upper %q and work %q are given both or not at all", m.Target, m.Upper, m.Work), "")
	}
	t.Lowers = append(slices.Clone(m.Lowers), m.Lower)
	if n := len(t.Lowers); n > maxLowers {
		return tree{}, false, sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("overlay %q: %d layers, at most %d can be had", m.Target, n, maxLowers), "")
	}
	if m.Upper == "" && len(m.Lowers) == 0 {
		return specTree(sandbox.Mount{Kind: sandbox.MountBind, Source: m.Lower, Target: m.Target, ReadOnly: true, NoExec: m.NoExec, Optional: m.Optional})
	}
	t.Kind, t.Upper, t.Work = treeOverlay, m.Upper, m.Work
	t.ReadOnly = t.ReadOnly || m.Upper == ""
	return t, true, nil
}
