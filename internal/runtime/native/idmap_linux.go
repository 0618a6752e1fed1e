package native

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"agentprocess/internal/execx"
	"agentprocess/internal/sandbox"
)

// idmapNamespace is a user namespace in which 0 is the agent's id. A mount
// that carries it shows what root owns as the agent's. It is made once per id:
// a process of ours holds it for the moment it takes to open it.
func (r *Runtime) idmapNamespace(ctx context.Context, id sandbox.Identity) (*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]int{id.UID, id.GID}
	if ns, ok := r.idmaps[key]; ok {
		return ns, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hold, release := io.Pipe()
	proc, err := execx.Start(ctx, execx.Cmd{
		Argv:  []string{selfExe, verbHold},
		Stdin: hold,
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: id.UID, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: id.GID, Size: 1}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make id mapping: %w", err)
	}
	ns, err := os.Open("/proc/" + strconv.Itoa(proc.PID()) + "/ns/user")
	_ = release.Close() // a pipe in memory: it cannot fail
	_ = proc.Wait()     // it has nothing to say
	if err != nil {
		return nil, fmt.Errorf("make id mapping: %w", err)
	}
	r.idmaps[key] = ns
	return ns, nil
}
