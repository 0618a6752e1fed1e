package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	_ "agentprocess/internal/cli" // a change of the product makes cached results stale
)

// The stages of the test binary: built and moved by stage "", the network laid
// by stageNetwork, the tests run by stageTests.
const (
	stageVar     = "AGENT_PROCESS_E2E_STAGE"
	stageNetwork = "network"
	stageTests   = "tests"
	binaryVar    = "AGENT_PROCESS_E2E_BINARY"
	scratchVar   = "AGENT_PROCESS_E2E_SCRATCH"
)

func TestMain(m *testing.M) {
	var code int
	var err error
	switch os.Getenv(stageVar) {
	case "":
		code, err = buildAndEnter(context.Background())
	case stageNetwork:
		err = layNetwork()
	default:
		code = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// buildAndEnter builds the product, then runs this binary again in an outer
// network namespace, without a way out.
func buildAndEnter(ctx context.Context) (code int, err error) {
	dir, err := os.MkdirTemp("", "agent-process-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "agent-process")
	build := exec.CommandContext(ctx, "../scripts/build", binary)
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build: %w\n%s", err, out)
	}
	if err := prepareClaude(ctx); err != nil {
		return 0, err
	}
	inner := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	inner.Stdout, inner.Stderr = os.Stdout, os.Stderr
	inner.Env = append(os.Environ(), stageVar+"="+stageNetwork, binaryVar+"="+binary, scratchVar+"="+dir)
	inner.SysProcAttr = outerNamespace()
	err = inner.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// outerNamespace asks for a network namespace; an ordinary user needs a user
// namespace to own it, and CAP_NET_ADMIN in it for as long as layNetwork runs.
func outerNamespace() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		attr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN}
	}
	return attr
}

// layNetwork brings lo up, makes every address local to it, and becomes the
// tests, without the capability that it took.
func layNetwork() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("lo up: %w", err)
	}
	for _, all := range []string{"0.0.0.0/0", "::/0"} {
		_, dst, err := net.ParseCIDR(all)
		if err != nil {
			return err
		}
		route := netlink.Route{LinkIndex: lo.Attrs().Index, Dst: dst, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST}
		if err := netlink.RouteAdd(&route); err != nil {
			return fmt.Errorf("route %s to lo: %w", all, err)
		}
	}
	for file, value := range map[string]string{
		"/proc/sys/net/ipv4/ip_unprivileged_port_start": "0", // an ordinary user's world listens where attacks aim
		"/proc/sys/net/ipv6/ip_nonlocal_bind":           "1", // IPv6 binds to routed addresses only with leave
	} {
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop ambient capabilities: %w", err)
	}
	if err := os.Setenv(stageVar, stageTests); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}
