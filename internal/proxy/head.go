package proxy

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// Why a request head was refused. Every one is a way to make two parsers see
// two requests.
var (
	errHeadSize    = errors.New("the request head is too large")
	errLineEnd     = errors.New("a line of the request head does not end in CR LF")
	errFold        = errors.New("a header line is continued on the next one")
	errRequestLine = errors.New("the request line is malformed")
	errHeaderLine  = errors.New("a header line is malformed")
	errHostHeader  = errors.New("the Host header is missing or repeated")
	errFraming     = errors.New("the length of the request body is ambiguous")
)

const (
	maxHead    = 64 << 10
	maxHeaders = 256
)

// head is what must be known of a request before it is parsed.
type head struct {
	size    int // with the empty line
	method  string
	target  string
	minor   byte // of HTTP/1.x
	host    string
	hosts   int
	lengths int
	codings int
	length  string
	coding  string
}

// headEnd finds the end of a request head in data, of which the first seen
// bytes were looked at before: the length including the empty line, or 0 when
// it is not all there. A bare LF is refused at once: an end may never come.
func headEnd(data []byte, seen int) (int, error) {
	for at := seen; at < len(data); at++ {
		next := bytes.IndexByte(data[at:], '\n')
		if next < 0 {
			return 0, nil
		}
		at += next
		if at == 0 || data[at-1] != '\r' {
			return 0, malformed(errLineEnd)
		}
		if at >= 3 && data[at-2] == '\n' {
			return at + 1, nil
		}
	}
	return 0, nil
}

// parseHead checks a whole request head, byte by byte, far more strictly than
// RFC 9112 asks a server to.
func parseHead(data []byte) (head, error) {
	lines, ok := bytes.CutSuffix(data, []byte("\r\n\r\n"))
	if !ok {
		return head{}, errLineEnd
	}
	h := head{size: len(data)}
	for n := 0; ; n++ {
		line, rest, more := bytes.Cut(lines, []byte("\r\n"))
		if err := checkBytes(line); err != nil {
			return head{}, err
		}
		var err error
		switch {
		case n == 0:
			err = h.requestLine(string(line))
		case n > maxHeaders:
			err = errHeadSize
		default:
			err = h.headerLine(line)
		}
		if err != nil {
			return head{}, err
		}
		if !more {
			return h, h.check()
		}
		lines = rest
	}
}

func checkBytes(line []byte) error {
	for _, c := range line {
		switch {
		case c == '\r' || c == '\n':
			return errLineEnd
		case c < ' ' && c != '\t' || c == 0x7f:
			return errHeaderLine
		}
	}
	return nil
}

func (h *head) requestLine(line string) error {
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if !token(method) || target == "" || len(version) != len("HTTP/1.1") || !strings.HasPrefix(version, "HTTP/1.") {
		return errRequestLine
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] >= 0x7f {
			return errRequestLine
		}
	}
	h.method, h.target, h.minor = method, target, version[7]-'0'
	if h.minor > 1 {
		return errRequestLine
	}
	return nil
}

func (h *head) headerLine(line []byte) error {
	if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
		return errFold
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !token(string(name)) {
		return errHeaderLine
	}
	text := func() string { return string(bytes.Trim(value, " \t")) }
	switch {
	case bytes.EqualFold(name, []byte("Host")):
		h.hosts++
		h.host = text()
	case bytes.EqualFold(name, []byte("Content-Length")):
		h.lengths++
		h.length = text()
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.codings++
		h.coding = text()
	}
	return nil
}

// check judges the head as a whole.
func (h *head) check() error {
	originForm := h.target[0] == '/' || h.target == "*"
	if h.hosts > 1 || h.hosts == 0 && originForm {
		return errHostHeader
	}
	if h.lengths+h.codings > 1 || h.codings == 1 && (h.minor == 0 || !strings.EqualFold(h.coding, "chunked")) {
		return errFraming
	}
	if h.lengths == 1 {
		if _, err := strconv.ParseUint(h.length, 10, 63); err != nil || h.length[0] == '+' {
			return errFraming
		}
	}
	if h.method == "CONNECT" && (h.codings > 0 || h.lengths > 0 && strings.Trim(h.length, "0") != "") {
		return errFraming
	}
	return nil
}

// token reports whether s is an RFC 9110 token.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// looksHTTP says whether the first bytes of a connection are an HTTP/1
// request; more is set while that is open.
func looksHTTP(data []byte) (is, more bool) {
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "TRACE ", "CONNECT "} {
		if bytes.HasPrefix(data, []byte(method)) {
			return true, false
		}
		if strings.HasPrefix(method, string(data)) {
			more = true
		}
	}
	return false, more
}
