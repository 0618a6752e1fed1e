package cli

import "golang.org/x/sys/unix"

const (
	getTermios      = unix.TCGETS
	setTermiosFlush = unix.TCSETSF
	noKey           = 0 // _POSIX_VDISABLE
)
