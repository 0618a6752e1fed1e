package verb

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// connectTime bounds a connection to the sandbox's own loopback, which is made
// at once or not at all.
const connectTime = 5 * time.Second

// connect is sandbox.ConnectVerb. The status says whether anybody listens.
func connect(ctx context.Context, port string, from io.Reader, to io.Writer) int {
	conn, err := dialLoopback(ctx, port)
	if err != nil {
		return 1
	}
	defer conn.Close()
	go func() {
		_, err := io.Copy(conn, from)
		if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
			_ = tcp.CloseWrite() // the other end may have gone first
		}
	}()
	_, _ = io.Copy(to, conn) // whoever asked may go at any time
	return 0
}

func dialLoopback(ctx context.Context, port string) (net.Conn, error) {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errors.New("that is no port")
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", "127.0.0.1:"+port)
	if err == nil {
		return conn, nil
	}
	conn, err6 := d.DialContext(ctx, "tcp6", "[::1]:"+port)
	if err6 != nil {
		return nil, errors.Join(err, err6)
	}
	return conn, nil
}
