package proxy

import (
	"encoding/binary"
	"errors"
	"slices"
)

// What a connection that should begin with TLS may begin with instead.
var (
	errNotTLS    = errors.New("it is not TLS")
	errHello     = errors.New("its TLS ClientHello is malformed")
	errNoSNI     = errors.New("its TLS ClientHello names no server (SNI)")
	errMoreHello = errors.New("the ClientHello goes on")
)

const (
	recordHandshake = 22
	typeClientHello = 1
	maxRecord       = 1 << 14
	// maxHello bounds a ClientHello with everything post-quantum there is.
	maxHello = 64 << 10
)

// serverName finds the SNI of the TLS ClientHello that data begins with
// (RFC 8446 4.1.2, RFC 6066 3), which may be spread over records. It answers
// errMoreHello while data is a prefix of one.
func serverName(data []byte) (string, error) {
	hello, err := handshake(data)
	if err != nil {
		return "", err
	}
	return helloName(hello)
}

// handshake joins the fragments of the first handshake message.
func handshake(data []byte) ([]byte, error) {
	if len(data) > 0 && data[0] != recordHandshake || len(data) > 1 && data[1] != 3 {
		return nil, errNotTLS
	}
	var message []byte
	for {
		body, rest, err := nextRecord(data)
		if err != nil {
			return nil, err
		}
		if message == nil && len(rest) == 0 {
			message = slices.Clip(body) // one record, as usual: no copy
		} else {
			message = append(message, body...)
		}
		data = rest
		if len(message) < 4 {
			continue
		}
		length := int(message[1])<<16 | int(message[2])<<8 | int(message[3])
		switch {
		case message[0] != typeClientHello, length > maxHello:
			return nil, errHello
		case len(message) == 4+length:
			return message[4:], nil
		case len(message) > 4+length:
			return nil, errHello // nothing may follow before the server answers
		}
	}
}

func nextRecord(data []byte) (body, rest []byte, err error) {
	if len(data) < 5 {
		return nil, nil, errMoreHello
	}
	length := int(binary.BigEndian.Uint16(data[3:]))
	switch {
	case data[0] != recordHandshake, data[1] != 3, length == 0, length > maxRecord:
		return nil, nil, errHello
	case len(data) < 5+length:
		return nil, nil, errMoreHello
	}
	return data[5 : 5+length], data[5+length:], nil
}

// helloName reads the SNI out of the body of a ClientHello.
func helloName(hello []byte) (string, error) {
	c := cursor{data: hello}
	c.skip(2 + 32) // version, random
	c.vector(1)    // session id
	c.vector(2)    // cipher suites
	c.vector(1)    // compression
	if c.failed {
		return "", errHello
	}
	if len(c.data) == 0 {
		return "", errNoSNI
	}
	extensions := cursor{data: c.vector(2)}
	if c.failed || len(c.data) > 0 {
		return "", errHello
	}
	name, found := "", false
	for len(extensions.data) > 0 {
		kind := extensions.number(2)
		body := extensions.vector(2)
		if extensions.failed {
			return "", errHello
		}
		if kind != 0 {
			continue
		}
		if found {
			return "", errHello
		}
		found = true
		var ok bool
		if name, ok = oneName(body); !ok {
			return "", errHello
		}
	}
	if !found {
		return "", errNoSNI
	}
	return name, nil
}

// oneName reads a server_name extension, which must hold one host name.
func oneName(body []byte) (string, bool) {
	c := cursor{data: body}
	list := cursor{data: c.vector(2)}
	kind := list.number(1)
	name := list.vector(2)
	ok := !c.failed && len(c.data) == 0 && !list.failed && len(list.data) == 0 && kind == 0 && len(name) > 0
	return string(name), ok
}

// cursor reads length-prefixed fields; once something is missing it is failed
// and gives nothing more.
type cursor struct {
	data   []byte
	failed bool
}

func (c *cursor) skip(n int) []byte {
	if c.failed || len(c.data) < n {
		c.failed, c.data = true, nil
		return nil
	}
	out := c.data[:n]
	c.data = c.data[n:]
	return out
}

func (c *cursor) number(size int) int {
	n := 0
	for _, b := range c.skip(size) {
		n = n<<8 | int(b)
	}
	return n
}

func (c *cursor) vector(size int) []byte { return c.skip(c.number(size)) }
