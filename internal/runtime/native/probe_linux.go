package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agentprocess/internal/execx"
	"agentprocess/internal/runtime/pidone"
	"agentprocess/internal/sandbox"
)

// The steps of a probe that more than one place names.
const (
	stepClone    = "user namespace"
	stepRedirect = "nftables redirect"
	stepLandlock = "landlock"
)

// optional are the steps a sandbox can do without, in some weaker or slower
// way that Facts tell of.
func optional() []string {
	return []string{stepOverlay, "any address on lo", stepRedirect, stepLandlock, "cgroup"}
}

// Probe implements sandbox.Runtime: a throw-away PID 1 tries each step in turn.
func (r *Runtime) Probe(ctx context.Context) (sandbox.Capabilities, error) {
	caps := sandbox.Capabilities{Runtime: Name}
	id, err := DefaultIdentity()
	if err != nil {
		return caps, err
	}
	steps, err := r.probeInit(ctx, id)
	if err != nil {
		return caps, err
	}
	caps.Steps = append(steps, probeCgroup(currentHierarchy()), probeGit(ctx))
	for i := range caps.Steps {
		caps.Steps[i].Required = !slices.Contains(optional(), caps.Steps[i].Name)
	}
	return caps, nil
}

// probeInit starts the throw-away PID 1 and collects what it tells.
func (r *Runtime) probeInit(ctx context.Context, id sandbox.Identity) ([]sandbox.Step, error) {
	dir, err := r.probeDir(id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // empty directories, in our own state
	one, err := r.startInit(ctx, verbProbe, id, sandbox.NetworkGateway, nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		cause, fix := explainClone(err)
		return []sandbox.Step{{Name: stepClone, Detail: err.Error(), Cause: cause, Fix: fix}}, nil
	}
	defer one.wire.Close()
	defer one.End()
	stop := context.AfterFunc(ctx, one.kill)
	defer stop()
	steps := []sandbox.Step{{Name: stepClone, OK: true, Detail: "uid " + strconv.Itoa(id.UID) + " mapped to itself"}}
	if os.Geteuid() == 0 {
		steps = append(steps, overlayStep(tryOverlay(dir, false)))
	}
	if err := one.wire.SendPayload(pidone.Message{Op: pidone.OpConfig}, dir); err != nil && !pidone.HungUp(err) {
		return nil, fmt.Errorf("probe: %w", err)
	}
	for {
		m, fds, err := one.wire.Recv()
		pidone.CloseAll(fds...)
		switch {
		case errors.Is(err, io.EOF) && ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, io.EOF):
			return append(steps, sandbox.Step{Name: "init", Detail: "it ended in the middle of the probe", Fix: "please report this"}), nil
		case err != nil:
			return nil, err
		case m.Op == pidone.OpReady:
			return steps, nil
		case m.Op == pidone.OpStep:
			steps = append(steps, stepOf(m))
		}
	}
}

// probeDir makes the directories of an overlay where workspaces will be.
func (r *Runtime) probeDir(id sandbox.Identity) (string, error) {
	parent := r.config.StateDir
	if parent != "" {
		if err := os.MkdirAll(parent, 0o700); err != nil {
			return "", fmt.Errorf("make state directory: %w", err)
		}
	}
	dir, err := os.MkdirTemp(parent, "probe-*")
	if err != nil {
		return "", fmt.Errorf("probe: %w", err)
	}
	for _, name := range []string{"lower", "upper", "work"} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(name, 0o700), os.Lchown(name, id.UID, id.GID)); err != nil {
			return "", fmt.Errorf("probe: %w", err)
		}
	}
	return dir, nil
}

// tryOverlay makes an overlay mount of the directories of probeDir.
func tryOverlay(dir string, userns bool) error {
	t := tree{Kind: treeOverlay, Lowers: []string{filepath.Join(dir, "lower")}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	fd, err := t.open(userns)
	pidone.CloseAll(fd)
	return err
}

func overlayStep(err error) sandbox.Step {
	s := sandbox.Step{Name: stepOverlay, OK: err == nil, Detail: "works"}
	if err != nil {
		s.Detail, s.Cause, s.Fix = err.Error(), "the kernel or the file system of the state directory cannot do it", "nothing: agents get a plain checkout instead, which takes longer to make"
	}
	return s
}

// stepOf turns what PID 1 told into a step, with its cause and fix.
func stepOf(m pidone.Message) sandbox.Step {
	s := sandbox.Step{Name: m.Step, OK: m.Error == "", Detail: m.Detail}
	if s.OK {
		return s
	}
	errno := unix.Errno(m.Errno)
	if m.Step == stepOverlay {
		return overlayStep(errors.New(m.Error))
	}
	s.Detail = m.Error
	s.Cause, s.Fix = explainStep(m.Step, errno)
	return s
}

// explainStep names cause and fix of a step that failed.
func explainStep(name string, errno unix.Errno) (cause, fix string) {
	switch {
	case errno == unix.ENOSYS:
		return "the kernel is too old or was built without it", "use Linux 5.12 or later, or the docker runtime"
	case name == "proc":
		return "/proc is partly covered, as it is in a container", "run the container with --security-opt systempaths=unconfined, or use the docker runtime"
	case name == "capabilities" || name == "lo up" || name == "mount attributes":
		return "a security module takes the capabilities of new user namespaces away", appArmorProfile()
	case name == stepRedirect:
		return "nf_tables is missing or forbidden", "modprobe nf_tables nft_redir nft_chain_nat; without it TCP that ignores the proxy is unreachable instead of being judged"
	case name == stepLandlock:
		return "the kernel has no Landlock of ABI 2 or later", "boot with lsm=landlock,... on Linux 5.19 or later; the mounts hold without it"
	case name == "seccomp":
		return "the kernel was built without seccomp filters", "use the docker runtime"
	default:
		return "the kernel refused: " + errno.Error(), "use the docker runtime"
	}
}

// probeCgroup says where limits are kept.
func probeCgroup(h hierarchy) sandbox.Step {
	s := sandbox.Step{Name: "cgroup"}
	if len(h.parents) == 0 {
		s.Detail = "none that this user may divide"
		s.Cause = "no cgroup is delegated to this login"
		s.Fix = "systemd-run --user --scope --property=Delegate=yes agent-process ...; without it limits are kept by rlimits and by watching"
		return s
	}
	controllers := make([]string, 0, len(h.parents))
	for c := range h.parents {
		controllers = append(controllers, c)
	}
	slices.Sort(controllers)
	s.OK, s.Detail = true, fmt.Sprintf("v%d: %s", h.version, strings.Join(controllers, ", "))
	return s
}

// probeGit looks for a git that is not fooled by whose repository it is in.
func probeGit(ctx context.Context) sandbox.Step {
	s := sandbox.Step{Name: "git", Fix: "install git 2.35.2 or later"}
	out, err := execx.Output(ctx, execx.Cmd{Argv: []string{"git", "--version"}})
	if err != nil {
		s.Detail, s.Cause = err.Error(), "git is not installed"
		return s
	}
	s.Detail = strings.TrimSpace(string(out))
	m := regexp.MustCompile(`(\d+)\.(\d+)(?:\.(\d+))?`).FindStringSubmatch(s.Detail)
	if m == nil {
		s.Cause = "its version cannot be read"
		return s
	}
	var v [3]int
	for i := range v {
		v[i], _ = strconv.Atoi(m[i+1]) // digits, or missing and 0
	}
	switch {
	case slices.Compare(v[:], []int{2, 35, 2}) < 0:
		s.Cause = "it is too old"
		return s
	case slices.Compare(v[:], []int{2, 38, 0}) < 0:
		s.Detail += "; 2.38 can also refuse embedded bare repositories"
	}
	s.OK, s.Fix = true, ""
	return s
}
