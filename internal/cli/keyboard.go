//go:build linux || darwin

package cli

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ttyKeyboard reads the keys of a terminal one by one. Ctrl-C and Ctrl-\ still
// are signals; Ctrl-Z is not, because the shell would get its terminal back in
// the state that this leaves it in.
type ttyKeyboard struct {
	fd     int
	before unix.Termios
}

// openKeyboard takes the terminal, if it is ours to take: a process in the
// background that touches it is stopped.
func openKeyboard(f *os.File) (keyboard, error) {
	fd := int(f.Fd())
	if err := inForeground(fd); err != nil {
		return nil, err
	}
	state, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, fmt.Errorf("state of the terminal: %w", err)
	}
	k := &ttyKeyboard{fd: fd, before: *state}
	state.Lflag &^= unix.ICANON | unix.ECHO | unix.ECHONL | unix.IEXTEN
	state.Iflag &^= unix.IXON
	state.Cc[unix.VMIN], state.Cc[unix.VTIME] = 0, 0 // a read gives what there is
	state.Cc[unix.VSUSP] = noKey
	// What was typed before the question stood there is no answer to it.
	if err := unix.IoctlSetTermios(fd, setTermiosFlush, state); err != nil {
		return nil, fmt.Errorf("take the terminal: %w", err)
	}
	return k, nil
}

func inForeground(fd int) error {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err != nil {
		return fmt.Errorf("foreground of the terminal: %w", err)
	}
	if group != unix.Getpgrp() {
		return errBackground
	}
	return nil
}

func (k *ttyKeyboard) read(buf []byte) (int, error) {
	if err := inForeground(k.fd); err != nil {
		return 0, err
	}
	n, err := unix.Read(k.fd, buf)
	if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		return 0, nil
	}
	return n, err
}

// close gives the terminal back, and drops what was typed and not read.
func (k *ttyKeyboard) close() error {
	if err := inForeground(k.fd); err != nil {
		return err
	}
	if err := unix.IoctlSetTermios(k.fd, setTermiosFlush, &k.before); err != nil {
		return fmt.Errorf("give the terminal back: %w", err)
	}
	return nil
}
