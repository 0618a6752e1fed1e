//go:build !linux

package hook

import (
	"context"
	"net"
	"time"
)

// dial connects to the endpoint.
func dial(ctx context.Context, path string, _ time.Time) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}
