package proxy

import (
	"errors"
	"io"
	"net"
	"time"
)

// peeked is a client connection, the first bytes of which have been looked at.
type peeked struct {
	net.Conn
	head []byte
}

// Read implements net.Conn: first what was peeked.
func (p *peeked) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// CloseWrite ends this side of the conversation.
func (p *peeked) CloseWrite() error { return closeWrite(p.Conn) }

var errSilent = errors.New("the client sent nothing that could be judged in time")

// more reads into head, up to maxHello bytes of it.
func (p *peeked) more(deadline time.Time) error {
	if len(p.head) >= maxHello {
		return errHello
	}
	if len(p.head) == cap(p.head) {
		grown := make([]byte, len(p.head), max(2048, 2*cap(p.head)))
		copy(grown, p.head)
		p.head = grown
	}
	if err := p.SetReadDeadline(deadline); err != nil {
		return err
	}
	n, err := p.Conn.Read(p.head[len(p.head):cap(p.head)])
	p.head = p.head[:len(p.head)+n]
	if n > 0 {
		return nil
	}
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return errSilent
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// first waits for the first byte, without a limit when wait is 0.
func (p *peeked) first(wait time.Duration) error {
	var deadline time.Time
	if wait > 0 {
		deadline = time.Now().Add(wait)
	}
	for len(p.head) == 0 {
		if err := p.more(deadline); err != nil {
			return err
		}
	}
	return p.SetReadDeadline(time.Time{})
}

// sni reads the whole ClientHello and gives its server name.
func (p *peeked) sni(wait time.Duration) (string, error) {
	deadline := time.Now().Add(wait)
	for {
		if len(p.head) > 0 {
			name, err := serverName(p.head)
			if err == nil {
				return name, p.SetReadDeadline(time.Time{})
			}
			if !errors.Is(err, errMoreHello) {
				return "", err
			}
		}
		if err := p.more(deadline); err != nil {
			return "", err
		}
	}
}

// isHTTP waits until the first bytes show whether they are an HTTP request.
func (p *peeked) isHTTP(wait time.Duration) (bool, error) {
	deadline := time.Now().Add(wait)
	for {
		is, more := looksHTTP(p.head)
		if !more {
			return is, p.SetReadDeadline(time.Time{})
		}
		if err := p.more(deadline); err != nil {
			return false, err
		}
	}
}

// reset closes the connection so that the client sees at once that it was
// refused, not that it ended.
func reset(c net.Conn) {
	if t, ok := c.(interface{ SetLinger(sec int) error }); ok {
		discard(t.SetLinger(0))
	}
	discard(c.Close())
}

// lingerClose closes a connection to which a refusal was written, giving the
// client time to read it: closing with unread data pending would throw the
// refusal away.
func lingerClose(c net.Conn) {
	const wait, most = time.Second, 256 << 10
	if closeWrite(c) == nil && c.SetReadDeadline(time.Now().Add(wait)) == nil {
		_, err := io.CopyN(io.Discard, c, most)
		discard(err)
	}
	discard(c.Close())
}
