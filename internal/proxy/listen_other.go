//go:build !linux

package proxy

import "net"

// deferAccept is a help that this system does not give.
func deferAccept(net.Listener) {}
