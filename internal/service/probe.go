package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"agentprocess/internal/sandbox"
)

// StepOverlay is the name of the optional step without which a tree is checked
// out for each run.
const StepOverlay = "overlay"

// usable refuses a host on which the runtime cannot work, before anything is
// created, and says whether trees can be overlays. What worked is remembered
// until the machine, the user or the binary is another one.
func (s *Service) usable(ctx context.Context, rt sandbox.Runtime, b sandbox.Backend) (overlay bool, err error) {
	cache := filepath.Join(s.Paths.Runtime, "probe-"+s.probeKey(b)+".json")
	caps, ok := readProbe(cache)
	if !ok {
		if caps, err = rt.Probe(ctx); err != nil {
			return false, err
		}
	}
	if blocker, blocked := caps.Blocker(); blocked {
		err := fmt.Errorf("the %s runtime cannot work here: %s: %s", caps.Runtime, blocker.Name, blocker.Detail)
		return false, sandbox.Fail(sandbox.CodeRuntime, err, strings.TrimSpace(blocker.Fix+"\n`agent-process doctor` tells more"))
	}
	if !ok {
		s.rememberProbe(cache, caps)
	}
	for _, step := range caps.Steps {
		if step.Name == StepOverlay {
			overlay = step.OK
		}
	}
	return overlay, nil
}

// probeKey stands for everything that a probe's result depends on.
func (s *Service) probeKey(b sandbox.Backend) string {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it the key is only weaker
	info, err := os.Stat(s.Self)
	stamp := ""
	if err == nil {
		stamp = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
	}
	var engines []string // another engine is another host
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST", "XDG_RUNTIME_DIR"} {
		value, _ := s.lookup(name)
		engines = append(engines, value)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %s %q %q", boot, s.Self, os.Geteuid(), stamp, b, engines))
	return hex.EncodeToString(sum[:8])
}

func readProbe(path string) (sandbox.Capabilities, bool) {
	var caps sandbox.Capabilities
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &caps) != nil {
		return caps, false
	}
	return caps, caps.Usable()
}

// rememberProbe keeps a result; without it the next start probes again.
func (s *Service) rememberProbe(path string, caps sandbox.Capabilities) {
	data, err := json.Marshal(caps)
	if err != nil {
		return
	}
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if os.WriteFile(temp, data, 0o600) == nil {
		_ = os.Rename(temp, path) // as above
	}
}
