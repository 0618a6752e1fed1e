//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The answers of the filter.
const (
	retAllow   = 0x7fff0000 // SECCOMP_RET_ALLOW
	retErrno   = 0x00050000 // SECCOMP_RET_ERRNO
	retKill    = 0x80000000 // SECCOMP_RET_KILL_PROCESS
	retDeny    = retErrno | uint32(unix.EPERM)
	retMissing = retErrno | uint32(unix.ENOSYS)
)

// Where the kernel puts what the filter looks at (struct seccomp_data).
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

// x32Bit marks calls of the x32 ABI on amd64.
const x32Bit = 0x40000000

// withheld are calls that the profile we start from allows and we do not:
// tracing and reading other processes, and surface without a use here.
func withheld() []string {
	return []string{
		"ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise",
		"name_to_handle_at", "open_by_handle_at", "fanotify_mark", "vmsplice", "modify_ldt", "userfaultfd",
		"clone3", "socketcall", "ipc",
	}
}

// namespaceFlags are the clone flags that make namespaces.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME

// Terminal requests that reach beyond the terminal: typing into it, the
// console's own commands, and line disciplines (each one is a kernel module).
const (
	tiocSTI   = 0x5412
	tiocLinux = 0x541c
	tiocSETD  = 0x5423
)

// compile makes the seccomp program for an architecture: an allowlist by number,
// with conditions on arguments where a call is only partly harmless. affinity
// says whether sched_setaffinity stays.
func compile(goarch string, affinity bool) ([]byte, error) {
	info, err := arch.GetInfo(goarch)
	if err != nil {
		return nil, fmt.Errorf("seccomp for %s: %w", goarch, err)
	}
	answers := map[uint32][]bpf.Instruction{}
	for _, nr := range info.SyscallNames {
		answers[uint32(nr)] = ret(retDeny) // known to us, and not allowed
	}
	for _, rule := range seccomp.DefaultProfile().Syscalls {
		if rule.Action != specs.ActAllow || len(rule.Args) > 0 || !ruleApplies(rule, goarch) {
			continue
		}
		for _, name := range rule.Names {
			if nr, ok := info.SyscallNames[name]; ok {
				answers[uint32(nr)] = ret(retAllow)
			}
		}
	}
	set := func(code []bpf.Instruction, names ...string) {
		for _, name := range names {
			if nr, ok := info.SyscallNames[name]; ok {
				answers[uint32(nr)] = code
			}
		}
	}
	set(ret(retDeny), withheld()...)
	// A program that gets ENOSYS from clone3 uses clone, whose flags can be seen.
	set(ret(retMissing), "clone3")
	set(ioctlCode(), "ioctl")
	set(socketCode(), "socket")
	set(personalityCode(), "personality")
	set(prlimitCode(), "prlimit64")
	set(lowWord(0, maskAny(namespaceFlags)), "clone")
	if !affinity {
		set(ret(retDeny), "sched_setaffinity")
	}
	return assemble(info, answers)
}

// ruleApplies reports whether a rule of the profile holds for an
// architecture and a process without capabilities.
func ruleApplies(rule *seccomp.Syscall, goarch string) bool {
	if in := rule.Includes; in != nil {
		if len(in.Caps) > 0 || len(in.Arches) > 0 && !slices.Contains(in.Arches, goarch) {
			return false
		}
	}
	if ex := rule.Excludes; ex != nil && slices.Contains(ex.Arches, goarch) {
		return false
	}
	return true
}

func ret(action uint32) []bpf.Instruction { return []bpf.Instruction{bpf.RetConstant{Val: action}} }

// load reads the low (word 0) or high (word 1) half of an argument.
func load(arg, word uint32) bpf.Instruction {
	return bpf.LoadAbsolute{Off: dataArgs + 8*arg + 4*word, Size: 4}
}

// lowWord loads the low half of an argument before code: where the kernel
// takes an int, the high half is the caller's to fill with anything.
func lowWord(arg uint32, code []bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{load(arg, 0)}, code...)
}

// maskAny denies when one of the bits is set.
func maskAny(bits uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: bits, SkipFalse: 1},
		bpf.RetConstant{Val: retDeny},
		bpf.RetConstant{Val: retAllow},
	}
}

// among answers with hit when the loaded word is one of values and goes on
// otherwise.
func among(hit uint32, values ...uint32) []bpf.Instruction {
	var code []bpf.Instruction
	for _, v := range values {
		code = append(code, bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipFalse: 1}, bpf.RetConstant{Val: hit})
	}
	return code
}

func ioctlCode() []bpf.Instruction {
	return lowWord(1, append(among(retDeny, tiocSTI, tiocLinux, tiocSETD), ret(retAllow)...))
}

func personalityCode() []bpf.Instruction {
	return lowWord(0, append(among(retAllow, 0, 8, 0x20000, 0x20008, 0xffffffff), ret(retDeny)...))
}

// prlimitCode lets a process limit itself only: the limits of PID 1 are its
// life.
func prlimitCode() []bpf.Instruction {
	return []bpf.Instruction{
		load(0, 0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 4}, // itself
		load(2, 0),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 3}, // would change
		load(2, 1),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: retAllow},
		bpf.RetConstant{Val: retDeny},
	}
}

// socketCode allows unix and internet sockets of the usual protocols, and
// netlink for asking about addresses and routes. Every other protocol would be
// a kernel module more.
func socketCode() []bpf.Instruction {
	internet := append([]bpf.Instruction{load(2, 0)},
		append(among(retAllow, 0, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6, unix.IPPROTO_MPTCP),
			bpf.RetConstant{Val: retErrno | uint32(unix.EPROTONOSUPPORT)})...)
	netlinkRoute := append([]bpf.Instruction{load(2, 0)},
		append(among(retAllow, unix.NETLINK_ROUTE), bpf.RetConstant{Val: retDeny})...)
	code := []bpf.Instruction{load(0, 0)}
	code = append(code, among(retAllow, unix.AF_UNIX)...)
	code = append(code, bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipFalse: uint8(len(netlinkRoute))}) // a dozen
	code = append(code, netlinkRoute...)
	code = append(code, bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipFalse: uint8(len(internet))}) // a dozen
	code = append(code, internet...)
	return append(code, ret(retDeny)...)
}

// assemble puts the answers in a search tree over call numbers. All our
// architectures are little-endian.
func assemble(info *arch.Info, answers map[uint32][]bpf.Instruction) ([]byte, error) {
	numbers := slices.Sorted(maps.Keys(answers))
	var spans []span
	next := uint32(0)
	for _, nr := range numbers {
		if nr > next {
			spans = addSpan(spans, next, ret(retMissing))
		}
		spans = addSpan(spans, nr, answers[nr])
		next = nr + 1
	}
	spans = addSpan(spans, next, ret(retMissing))
	code := []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(info.ID), SkipTrue: 1},
		bpf.RetConstant{Val: retKill}, // a 32-bit program: none of it is for us to judge
		bpf.LoadAbsolute{Off: dataNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: x32Bit, SkipFalse: 1},
		bpf.RetConstant{Val: retMissing},
	}
	raw, err := bpf.Assemble(append(code, search(spans)...))
	if err != nil {
		return nil, fmt.Errorf("assemble seccomp filter: %w", err)
	}
	var out bytes.Buffer
	for _, ins := range raw {
		f := unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
		if err := binary.Write(&out, binary.LittleEndian, f); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// span is a range of call numbers, up to the next span, with one answer.
type span struct {
	from uint32
	code []bpf.Instruction
}

func addSpan(spans []span, from uint32, code []bpf.Instruction) []span {
	if n := len(spans); n > 0 && slices.Equal(spans[n-1].code, code) {
		return spans
	}
	return append(spans, span{from, code})
}

// search is a binary search over spans.
func search(spans []span) []bpf.Instruction {
	if len(spans) == 1 {
		return spans[0].code
	}
	mid := len(spans) / 2
	low, high := search(spans[:mid]), search(spans[mid:])
	var head []bpf.Instruction
	if len(low) <= 255 {
		head = []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: spans[mid].from, SkipTrue: uint8(len(low))}} // checked above
	} else {
		head = []bpf.Instruction{
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: spans[mid].from, SkipFalse: 1},
			bpf.Jump{Skip: uint32(len(low))}, // a program has at most 4096 instructions
		}
	}
	return slices.Concat(head, low, high)
}
