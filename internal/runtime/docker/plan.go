package docker

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

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"agentprocess/internal/sandbox"
)

// Sizes of the memory file systems, as in the native runtime.
const (
	sizeTmp    = 1 << 30
	sizeVarTmp = 256 << 20
	sizeRun    = 16 << 20
	sizeShm    = 1 << 30 // browsers need this much
	sizeHome   = 1 << 30
)

// systemDirs are the image's own: nothing is mounted below them.
func systemDirs() []string {
	return []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sys", "/dev", sandbox.RunDir, sandbox.BinaryPath}
}

// readOnlyPaths and maskedPaths are what a fresh /proc still shows of the host,
// and /sys, of which a sandbox of ours has nothing.
func readOnlyPaths() []string {
	return []string{"/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"}
}

func maskedPaths() []string {
	return []string{
		"/sys", "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/kmsg", "/proc/kallsyms", "/proc/interrupts", "/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup",
		"/proc/config.gz", "/proc/slabinfo", "/proc/vmallocinfo", "/proc/mtrr", "/proc/acpi", "/proc/scsi", "/proc/asound",
	}
}

// plan is what a container's view of files is made of.
type plan struct {
	mounts []mount.Mount
	tmpfs  map[string]string
	// writable are the targets that the agent may write to.
	writable []string
	// shown are read-only mounts that the engine cannot show to the agent.
	shown []shown
	// binds are binds with options, and volumes are to be made beforehand, on
	// engines that have them.
	binds   []string
	volumes []client.VolumeCreateOptions
	// chown are targets that PID 1 gives to the agent.
	chown []string
	// files are written by PID 1.
	files []sandbox.File
}

// planner makes a plan.
type planner struct {
	plan
	spec   sandbox.Spec
	labels map[string]string
	dir    string // holds the files that are bound in
	owned  bool   // volumes are made beforehand, and binds take options
	userns bool   // overlay mounts are made in a user namespace
}

// newPlan turns a spec into mounts. What has to lie on the host for them is
// written below dir, which is the box's own.
func (r *Runtime) newPlan(e *engine, img *rootImage, spec sandbox.Spec, dir string) (plan, error) {
	p := &planner{plan: plan{tmpfs: map[string]string{}}, spec: spec, dir: dir, labels: map[string]string{LabelRun: spec.ID}, userns: e.rootless(), owned: e.ownVolumes}
	p.memory("/tmp", sizeTmp, false)
	p.memory("/var/tmp", sizeVarTmp, false)
	p.tmpfs["/run"] = tmpfsOptions(sizeRun, "755", true)
	p.tmpfs[sandbox.RunDir] = tmpfsOptions(sizeRun, "755", true)
	p.writable = append(p.writable, "/dev/shm")
	p.bind(r.config.Program, sandbox.BinaryPath, true)
	if err := p.check(); err != nil {
		return plan{}, err
	}
	for _, m := range spec.Mounts {
		if err := p.mount(m); err != nil {
			return plan{}, err
		}
	}
	if spec.Home != "" && !p.mounted(spec.Home) {
		p.memory(spec.Home, sizeHome, false)
	}
	for _, v := range img.volumes { // else the engine makes one, on its disk and without a bound
		if !p.mounted(v) {
			p.memory(v, sizeTmp, false)
		}
	}
	if err := p.addFiles(append(spec.Etc(), spec.Files...)); err != nil {
		return plan{}, err
	}
	return p.plan, e.checkPaths(p.mounts)
}

// checkPaths refuses what an engine's API would read as something else.
func (e *engine) checkPaths(mounts []mount.Mount) error {
	for _, m := range mounts {
		if strings.ContainsAny(m.Source+m.Target, e.badTarget) {
			return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("mount %q at %q: %s cannot mount paths with one of %q", m.Source, m.Target, e.kind, e.badTarget),
				"rename the directory, or use another --runtime")
		}
	}
	return nil
}

// mounted reports whether something is mounted at a target.
func (p *planner) mounted(target string) bool {
	_, memory := p.tmpfs[target]
	memory = memory || slices.ContainsFunc(p.binds, func(b string) bool { return strings.Contains(b, ":"+target+":") })
	return memory || slices.ContainsFunc(p.mounts, func(m mount.Mount) bool { return m.Target == target })
}

// memory mounts an empty file system in memory.
func (p *planner) memory(target string, size int64, noExec bool) {
	p.tmpfs[target] = tmpfsOptions(size, "1777", noExec)
	p.writable = append(p.writable, target)
}

func tmpfsOptions(size int64, mode string, noExec bool) string {
	exec := "exec"
	if noExec {
		exec = "noexec"
	}
	return fmt.Sprintf("rw,nosuid,nodev,%s,size=%d,mode=%s", exec, size, mode)
}

// bind shows a file or directory of the host.
func (p *planner) bind(source, target string, readOnly bool) {
	p.mounts = append(p.mounts, bindMount(source, target, readOnly))
	if !readOnly {
		p.writable = append(p.writable, target)
	}
}

func bindMount(source, target string, readOnly bool) mount.Mount {
	return mount.Mount{
		Type: mount.TypeBind, Source: source, Target: target, ReadOnly: readOnly,
		BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
	}
}

// volume mounts a file system that the engine makes from options, for as long
// as the container is there.
func (p *planner) volume(target string, readOnly bool, options map[string]string) {
	if p.owned {
		name := fmt.Sprintf("%s%s-%d", namePrefix, p.spec.ID, len(p.volumes))
		p.volumes = append(p.volumes, client.VolumeCreateOptions{Name: name, Driver: "local", DriverOpts: options, Labels: p.labels})
		p.mounts = append(p.mounts, mount.Mount{Type: mount.TypeVolume, Source: name, Target: target, ReadOnly: readOnly, VolumeOptions: &mount.VolumeOptions{NoCopy: true}})
		if !readOnly {
			p.writable, p.chown = append(p.writable, target), append(p.chown, target)
		}
		return
	}
	if readOnly { // not the mount: only a volume with a name can be that, and it would outlive the container
		options["o"] += ",ro"
	}
	p.mounts = append(p.mounts, mount.Mount{
		Type: mount.TypeVolume, Target: target,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: p.labels, DriverConfig: &mount.Driver{Name: "local", Options: options}},
	})
	if !readOnly {
		p.writable = append(p.writable, target)
	}
}

// check refuses targets where nothing may be mounted.
func (p *planner) check() error {
	for _, m := range p.spec.Mounts {
		target := path.Clean(m.Target)
		if !path.IsAbs(m.Target) || target == "/" {
			return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("mount target %q is not an absolute path below /", m.Target), "")
		}
		for _, dir := range systemDirs() {
			if strings.HasPrefix(target+"/", dir+"/") {
				return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("mount target %q is below %q, which is the system's own and read-only", m.Target, dir),
					"choose a target outside it, such as one below /opt")
			}
		}
	}
	return nil
}

// mount adds one mount of the spec.
func (p *planner) mount(m sandbox.Mount) error {
	m.Target = path.Clean(m.Target)
	if err := p.straight(m.Target); err != nil {
		return err
	}
	switch m.Kind {
	case sandbox.MountBind:
		return p.mountBind(m)
	case sandbox.MountTmpfs:
		p.memory(m.Target, cmp.Or(m.Size, sizeHome), m.NoExec)
		return nil
	case sandbox.MountOverlay:
		return p.mountOverlay(m)
	default:
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("mount %q: unknown kind %q", m.Target, m.Kind), "")
	}
}

func (p *planner) mountBind(m sandbox.Mount) error {
	info, err := os.Stat(m.Source)
	switch {
	case errors.Is(err, fs.ErrNotExist) && m.Optional:
		return nil
	case err != nil:
		return fmt.Errorf("mount source of %q: %w", m.Target, err)
	}
	source, err := filepath.Abs(m.Source)
	if err != nil {
		return fmt.Errorf("mount source of %q: %w", m.Target, err)
	}
	if m.ReadOnly && closed(source) {
		p.shown = append(p.shown, shown{source, m.Target})
	}
	switch {
	case !m.NoExec:
		p.bind(source, m.Target, m.ReadOnly)
	case info.IsDir() && p.owned:
		options := "rprivate,nosuid,nodev,noexec,rw"
		if m.ReadOnly {
			options = "rprivate,nosuid,nodev,noexec,ro"
		} else {
			p.writable = append(p.writable, m.Target)
		}
		if strings.ContainsAny(source+m.Target, ":") {
			return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("mount %q at %q: the engine cannot mount paths with a colon", source, m.Target), "rename the directory, or use another --runtime")
		}
		p.binds = append(p.binds, source+":"+m.Target+":"+options)
	case info.IsDir():
		// Only a volume of the engine's can be told more than read-only.
		p.volume(m.Target, m.ReadOnly, map[string]string{"type": "none", "o": "bind,nosuid,nodev,noexec", "device": source})
	case m.ReadOnly && info.Mode()&0o111 == 0:
		p.bind(source, m.Target, true) // nobody inside can make it a program
	default:
		return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("mount %q: a container engine cannot forbid to execute the file %q", m.Target, source), "")
	}
	return nil
}

// maxLowers bounds the layers of an overlay, as in the native runtime.
const maxLowers = 8

// mountOverlay adds an overlay. One layer alone is none to the kernel, so it is
// bound.
func (p *planner) mountOverlay(m sandbox.Mount) error {
	lowers := append(slices.Clone(m.Lowers), m.Lower)
	switch {
	case (m.Upper == "") != (m.Work == ""):
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("overlay %q: upper %q and work %q are given both or not at all", m.Target, m.Upper, m.Work), "")
	case len(lowers) > maxLowers:
		return sandbox.Fail(sandbox.CodeUsage, fmt.Errorf("overlay %q: %d layers, at most %d can be had", m.Target, len(lowers), maxLowers), "")
	case m.Upper == "" && len(m.Lowers) == 0:
		return p.mountBind(sandbox.Mount{Source: m.Lower, Target: m.Target, ReadOnly: true, NoExec: m.NoExec, Optional: m.Optional})
	}
	readOnly := m.ReadOnly || m.Upper == ""
	if p.owned && m.Upper == "" { // the engine insists on changing the owner of something
		var err error
		if m.Upper, m.Work, err = p.scratch(); err != nil {
			return err
		}
	}
	for _, dir := range slices.Concat(lowers, []string{m.Upper, m.Work}) {
		if info, err := os.Stat(dir); dir != "" && (err != nil || !info.IsDir()) {
			return fmt.Errorf("overlay %q: layer %q is no directory: %w", m.Target, dir, cmp.Or(err, fs.ErrInvalid))
		}
	}
	options := []string{"nosuid", "nodev"}
	if m.NoExec {
		options = append(options, "noexec")
	}
	options = append(options, "lowerdir="+escapeLayers(lowers...))
	if m.Upper != "" {
		options = append(options, "upperdir="+escapeLayers(m.Upper), "workdir="+escapeLayers(m.Work))
	}
	if p.userns {
		options = append(options, "userxattr", "index=off")
	} else {
		options = append(options, "redirect_dir=on", "metacopy=off", "index=off")
	}
	p.volume(m.Target, readOnly, map[string]string{"type": "overlay", "device": "overlay", "o": strings.Join(options, ",")})
	return nil
}

// scratch makes the upper layer of an overlay that nobody can write to.
func (p *planner) scratch() (upper, work string, err error) {
	base := filepath.Join(p.dir, fmt.Sprintf("scratch-%d", len(p.volumes)))
	upper, work = filepath.Join(base, "upper"), filepath.Join(base, "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil { //nolint:gosec // the root of what the agent, another id, sees
		return "", "", fmt.Errorf("make state directory: %w", err)
	}
	return upper, work, nil
}

// escapeLayers makes a list of directories as overlayfs reads it.
func escapeLayers(dirs ...string) string {
	var out []string
	for _, dir := range dirs {
		out = append(out, strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`).Replace(dir))
	}
	return strings.Join(out, ":")
}

// straight refuses a target that leads through a link in a tree that is mounted
// already: an agent may have left it there to move the mount.
func (p *planner) straight(target string) error {
	for _, m := range p.spec.Mounts {
		rest, below := strings.CutPrefix(target, path.Clean(m.Target)+"/")
		if !below {
			continue
		}
		for _, layer := range append([]string{m.Source, m.Upper, m.Lower}, m.Lowers...) {
			if err := noLinks(layer, rest); err != nil {
				return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("mount target %q: %w", target, err), "")
			}
		}
	}
	return nil
}

// noLinks reports a link on the way to name below dir.
func noLinks(dir, name string) error {
	if dir == "" {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // refused where it is mounted
	}
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // only read
	parts := strings.Split(name, "/")
	for i := range parts {
		part := strings.Join(parts[:i+1], "/")
		info, err := root.Lstat(part)
		if err != nil {
			return nil // what is not there is no link
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%q leads through a symbolic link", part)
		}
	}
	return nil
}
