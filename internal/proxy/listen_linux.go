package proxy

import (
	"net"
	"syscall"
)

// patient is how long the kernel keeps a connection to itself while the client
// says nothing, in seconds.
const patient = 1

// deferAccept has l give connections only when their client has sent
// something, as far as the kernel can (tcp(7), TCP_DEFER_ACCEPT): one wake-up
// less for each, and none for those that stay silent. Only where clients speak
// first.
func deferAccept(l net.Listener) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	discard(raw.Control(func(fd uintptr) {
		discard(syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, patient))
	}))
}
