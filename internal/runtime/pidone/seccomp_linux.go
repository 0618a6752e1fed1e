package pidone

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"agentprocess/internal/seccomp"
)

// loadFilter puts the filter that fits the limits on the calling thread.
func loadFilter(lim Limits) error {
	variant := seccomp.Plain
	if lim.CPUs > 0 {
		variant = seccomp.Pinned
	}
	program, err := seccomp.Program(runtime.GOARCH, variant)
	if err != nil {
		return err
	}
	return loadProgram(program)
}

// loadProgram puts a seccomp program on the calling thread.
func loadProgram(program []byte) error {
	size := int(unsafe.Sizeof(unix.SockFilter{}))
	if len(program) == 0 || len(program)%size != 0 || len(program)/size > 4096 {
		return fmt.Errorf("seccomp filter of %d bytes: %w", len(program), unix.EINVAL)
	}
	filters := make([]unix.SockFilter, len(program)/size)
	if err := binary.Read(bytes.NewReader(program), binary.NativeEndian, filters); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]} // at most 4096
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filters)
	if errno != 0 {
		return fmt.Errorf("load seccomp filter: %w", errno)
	}
	return nil
}
