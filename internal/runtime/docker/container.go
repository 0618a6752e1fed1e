package docker

import (
	"cmp"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"agentprocess/internal/runtime/contained"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/seccomp"
)

// defaultPIDs is the limit of a sandbox whose spec has none; its memory is 80 %
// of the engine's machine.
const (
	defaultPIDs          = 4096
	defaultMemoryPercent = 80
)

// openFiles and manyProcesses are the most that is asked of an engine whose own
// defaults may be more than its machine allows; the limit of processes that
// counts is the control group's.
const (
	openFiles     = 65536
	manyProcesses = 32768 // Podman lowers its own to the smallest there is
)

// ulimits are what an engine would set higher than its machine allows.
func (e *engine) ulimits() []*container.Ulimit {
	if !e.boundFiles {
		return nil
	}
	files, processes := ownLimits()
	return []*container.Ulimit{{Name: "nofile", Soft: files, Hard: files}, {Name: "nproc", Soft: processes, Hard: processes}}
}

// withDefaults fills in the limits that are zero.
func (e *engine) withDefaults(l sandbox.Limits) sandbox.Limits {
	l.PIDs = cmp.Or(l.PIDs, defaultPIDs)
	l.MemoryBytes = cmp.Or(l.MemoryBytes, e.info.MemTotal/100*defaultMemoryPercent)
	return l
}

// limitedBy names what keeps each limit.
func (e *engine) limitedBy(l sandbox.Limits) map[string]string {
	by := map[string]string{}
	add := func(name string, limited, can bool) {
		if limited && can {
			by[name] = string(e.kind) + ", cgroup v" + cmp.Or(e.info.CgroupVersion, "1")
		}
	}
	add("memory", l.MemoryBytes > 0, e.info.MemoryLimit)
	add("pids", l.PIDs > 0, e.info.PidsLimit)
	add("cpus", l.CPUs > 0, e.info.CPUCfsQuota)
	if l.DiskBytes > 0 {
		by["disk"] = "rlimit per file, measured in all"
	}
	return by
}

// createOptions are the whole container of a sandbox.
func (r *Runtime) createOptions(e *engine, img *rootImage, spec sandbox.Spec, p plan, dir string) (client.ContainerCreateOptions, error) {
	profile, err := e.profile(dir)
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	limits, noInit := e.withDefaults(spec.Limits), false
	sysctls := map[string]string{"net.ipv4.ip_unprivileged_port_start": "1024"}
	if spec.Network == sandbox.NetworkGateway {
		sysctls["net.ipv6.conf.all.disable_ipv6"] = "0"
	}
	security := []string{"no-new-privileges", "seccomp=" + profile}
	if e.maskOption {
		security = append(security, "mask="+strings.Join(maskedPaths(), ":"))
	}
	host := &container.HostConfig{
		NetworkMode: "none", IpcMode: container.IPCModePrivate, CgroupnsMode: container.CgroupnsModePrivate,
		CapDrop: []string{"ALL"}, CapAdd: contained.Capabilities(spec.Network, len(p.chown) > 0),
		SecurityOpt: security, ReadonlyRootfs: true,
		MaskedPaths: maskedPaths(), ReadonlyPaths: readOnlyPaths(), Sysctls: sysctls,
		Mounts: p.mounts, Binds: p.binds, Tmpfs: p.tmpfs, ShmSize: sizeShm, Init: &noInit,
		LogConfig: container.LogConfig{Type: e.logs}, Runtime: r.config.OCIRuntime,
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		Resources: container.Resources{
			Ulimits: e.ulimits(),
			Memory:  limits.MemoryBytes, MemorySwap: limits.MemoryBytes, PidsLimit: &limits.PIDs, NanoCPUs: int64(limits.CPUs * 1e9),
		},
	}
	if r.joined { // they have its names
		host.DNS = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	if e.rootless() {
		host.UsernsMode = container.UsernsMode(e.userns(spec.Identity))
	}
	return client.ContainerCreateOptions{
		Name: namePrefix + spec.ID,
		Config: &container.Config{
			Image: img.id, Hostname: cmp.Or(spec.Hostname, "sandbox"), User: "0:0", WorkingDir: "/",
			Entrypoint: []string{sandbox.BinaryPath}, Cmd: []string{contained.Verb, contained.ControlSocket},
			// The image's own would reach PID 1's Go runtime.
			Env:         []string{"GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=2", "GOTRACEBACK=none", "GOGC=", "GOMEMLIMIT="},
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}}, StopSignal: "SIGKILL",
			Labels: map[string]string{LabelRun: spec.ID}, NetworkDisabled: !r.joined,
		},
		HostConfig: host,
	}, nil
}

// profile is our seccomp profile as the engine takes it; dir may hold a file.
func (e *engine) profile(dir string) (string, error) {
	profile, err := seccomp.EngineProfile()
	if err != nil || !e.profileFile {
		return profile, err
	}
	name := filepath.Join(dir, "seccomp.json")
	return name, writeFile(name, []byte(profile), 0o444)
}

// platform says whether an engine can run our binary.
func (e *engine) platform() bool {
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	return e.info.OSType == "linux" && (e.info.Architecture == machine || e.info.Architecture == runtime.GOARCH)
}
