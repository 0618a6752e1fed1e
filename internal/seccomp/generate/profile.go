//go:build linux

package main

import (
	"encoding/json"
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// profileFile is the rules as container engines take them.
const profileFile = "engine.json"

// profile is what an engine puts on PID 1 of a container, and so under
// everything in it: the list that the programs start from, without what they
// withhold by number. What depends on arguments is only as far judged here as
// PID 1 can still make the network: each program gets the finer filter on top.
func profile() ([]byte, error) {
	errno := uint(unix.EPERM)
	p := specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, DefaultErrnoRet: &errno,
		// A call of the x32 ABI would end its thread, and leave a process that hangs,
		// were that ABI not listed; each program's own filter refuses it.
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX32, specs.ArchAARCH64},
	}
	for _, rule := range seccomp.DefaultProfile().Syscalls {
		if !common(rule) {
			continue
		}
		names := slices.DeleteFunc(slices.Clone(rule.Names), func(name string) bool {
			return name == "socket" || slices.Contains(withheld(), name)
		})
		if len(names) > 0 {
			p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: names, Action: rule.Action, ErrnoRet: rule.ErrnoRet, Args: rule.Args})
		}
	}
	missing := uint(unix.ENOSYS)
	// A program that gets ENOSYS from clone3 uses clone, whose flags can be seen.
	p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &missing})
	for _, family := range []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK} {
		p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{
			Names: []string{"socket"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: family, Op: specs.OpEqualTo}},
		})
	}
	data, err := json.MarshalIndent(p, "", "\t")
	return append(data, '\n'), err
}

// common reports whether a rule holds for a container without capabilities on
// one of our architectures.
func common(rule *seccomp.Syscall) bool {
	if in := rule.Includes; in != nil {
		ours := slices.Contains(in.Arches, "amd64") || slices.Contains(in.Arches, "arm64")
		if len(in.Caps) > 0 || len(in.Arches) > 0 && !ours {
			return false
		}
	}
	return true
}
