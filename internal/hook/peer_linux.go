package hook

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// peer asks the kernel who is at the other end of a unix socket.
func peer(conn net.Conn) Peer {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return Peer{}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return Peer{}
	}
	var p Peer
	// Without an answer the peer stays unknown: it is for the record only.
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err == nil {
			p = Peer{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}
		}
	})
	return p
}
