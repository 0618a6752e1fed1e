package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// site is the one host that a connection was found to be for; requests on it
// may name no other. A connection to the proxy itself has none.
type site struct {
	host   string
	port   uint16
	scheme string // "http" or "https"
	path   string // of records: "connect" or "redirect"
	// requests counts those that were recorded.
	requests int
	mu       sync.Mutex
}

func (s *site) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
}

func (s *site) served() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests > 0
}

// h1 serves HTTP/1 on one connection, requests one after another.
type h1 struct {
	server *Server
	conn   net.Conn
	br     *bufio.Reader
	bw     *bufio.Writer
	site   *site // nil on the proxy's own listener
}

const h1Buffer = 4 << 10

func (s *Server) newH1(conn net.Conn, at *site) *h1 {
	br, bw := h1Buffers.take(conn)
	return &h1{server: s, conn: conn, site: at, br: br, bw: bw}
}

// serveProxy serves one connection to the proxy's listener.
func (s *Server) serveProxy(ctx context.Context, conn net.Conn) { s.newH1(conn, nil).serve(ctx) }

// serve runs until the connection is done with.
func (h *h1) serve(ctx context.Context) {
	for {
		parsed, err := h.next()
		if err != nil {
			h.end(err)
			return
		}
		if parsed.method == http.MethodConnect && h.site == nil {
			h.connect(ctx, parsed)
			return
		}
		req, err := http.ReadRequest(h.br)
		if err != nil {
			h.end(malformed(errRequestLine))
			return
		}
		if again, reusable := h.exchange(ctx, req, parsed.host); !again {
			if reusable {
				h.release()
			}
			return
		}
	}
}

// end ends a connection on which no request, or none that can be read, came.
func (h *h1) end(err error) {
	if reason, ok := errors.AsType[*denied](err); ok {
		h.refuse(reason)
	}
	h.release()
}

// connect takes the head of a CONNECT request from the reader and serves it.
func (h *h1) connect(ctx context.Context, parsed head) {
	if _, err := h.br.Discard(parsed.size); err != nil {
		h.end(err)
		return
	}
	h.server.serveConnect(ctx, h, parsed)
	h.release()
}

// release gives the buffers back, when nobody can touch them any more.
func (h *h1) release() {
	if h.br != nil {
		h1Buffers.give(h.br, h.bw)
		h.br, h.bw = nil, nil
	}
}

// next waits for a request head, which stays in the reader; the error is a
// *denied when there was one and it is malformed.
func (h *h1) next() (head, error) {
	if err := h.conn.SetReadDeadline(time.Now().Add(h.server.cfg.Limits.KeepAlive)); err != nil {
		return head{}, err
	}
	if _, err := h.br.Peek(1); err != nil {
		return head{}, err
	}
	if err := h.conn.SetReadDeadline(time.Now().Add(h.server.cfg.Limits.Header)); err != nil {
		return head{}, err
	}
	data, err := h.peekHead()
	if err != nil {
		return head{}, err
	}
	parsed, err := parseHead(data)
	if err != nil {
		return head{}, malformed(err)
	}
	return parsed, h.conn.SetReadDeadline(time.Time{})
}

// peekHead waits for a whole head without taking it from the reader.
func (h *h1) peekHead() ([]byte, error) {
	for seen := 0; ; {
		have, err := h.br.Peek(h.br.Buffered())
		if err != nil {
			return nil, err
		}
		end, err := headEnd(have, seen)
		switch {
		case err != nil:
			return nil, err
		case end > maxHead:
			return nil, malformed(errHeadSize)
		case end > 0:
			return have[:end], nil
		}
		seen = len(have)
		switch {
		case len(have) >= maxHead:
			return nil, malformed(errHeadSize)
		case len(have) == h.br.Size():
			// Not on top of the old reader, where bytes could stay behind.
			h.br = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(have)), h.conn), maxHead+h1Buffer)
		}
		if _, err := h.br.Peek(len(have) + 1); err != nil {
			return nil, h.cutShort(err)
		}
	}
}

// cutShort is why a head that began did not end. One that is simply given up,
// or whose lines end in bare LF, is told as what it is.
func (h *h1) cutShort(err error) error {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return &denied{reason: "the request head was not complete in time", status: http.StatusRequestTimeout}
	}
	if errors.Is(err, io.EOF) {
		return malformed(errLineEnd)
	}
	return err
}

// refuse answers what is not a request and closes the connection.
func (h *h1) refuse(d *denied) {
	path := "http"
	if h.site != nil {
		path = h.site.path
		h.site.count()
	}
	f := h.server.begin(path)
	defer f.end()
	if h.site != nil {
		f.target(h.site.host, h.site.port)
	}
	f.deny(d)
	w := newResponse(h, &http.Request{ProtoMajor: 1, ProtoMinor: 1}, f, nil)
	w.refuse(d)
	discard(w.finish())
	f.end()
	lingerClose(h.conn)
}

// exchange serves one request and reports whether another may follow, and
// otherwise whether the buffers can serve another connection: not if they were
// given away.
func (h *h1) exchange(ctx context.Context, req *http.Request, hostHeader string) (again, reusable bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	path := "http"
	if h.site != nil {
		path = h.site.path
	}
	f := h.server.begin(path)
	defer f.end()
	body := &requestBody{h: h, src: req.Body, flow: f, ended: func() {}}
	body.expects.Store(req.ProtoMinor == 1 && req.Header.Get("Expect") != "")
	watch := &watcher{h: h, gone: cancel}
	if req.Body == http.NoBody {
		body.eof = true
		watch.start()
	} else {
		body.ended = watch.start
		req.Body = body
	}
	w := newResponse(h, req, f, body)
	w.detach = watch.stop
	h.server.handle(w, req.WithContext(ctx), f, request{site: h.site, hostHeader: hostHeader})
	if w.hijacked {
		return false, false
	}
	clean := body.finish()
	watch.stop()
	if !clean {
		w.close = true
	}
	if err := w.finish(); err != nil {
		return false, true
	}
	if w.close && !clean {
		f.end()
		lingerClose(h.conn)
	}
	return !w.close && ctx.Err() == nil, true
}

// watcher notices that a client has gone while its request is served, by
// waiting for what it sends next, as much of it as the reader holds.
type watcher struct {
	h    *h1
	gone func()
	mu   sync.Mutex
	done chan struct{} // nil before start
	over bool
}

func (w *watcher) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.done != nil {
		return
	}
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		var err error
		for err == nil {
			_, err = w.h.br.Peek(w.h.br.Buffered() + 1)
		}
		if ne, ok := errors.AsType[net.Error](err); !errors.Is(err, bufio.ErrBufferFull) && (!ok || !ne.Timeout()) {
			w.gone()
		}
	}()
}

// stop ends the wait and gives the reader back.
func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.done == nil {
		return
	}
	discard(w.h.conn.SetReadDeadline(time.Unix(1, 0)))
	<-w.done
	discard(w.h.conn.SetReadDeadline(time.Time{})) // a dead connection shows in the next read
	w.done = nil
}

// requestBody is what a client sends. The transport may still read it when the
// request has been answered, so it can be closed under a reader.
type requestBody struct {
	h       *h1
	src     io.ReadCloser
	flow    *flow
	ended   func()
	expects atomic.Bool // the client waits for 100 Continue

	mu     sync.Mutex
	eof    bool
	closed bool
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.eof:
		return 0, io.EOF
	}
	if err := b.goOn(); err != nil {
		return 0, err
	}
	n, err := b.src.Read(p)
	if spent := b.flow.up.pass(n); spent != nil {
		return 0, spent
	}
	if errors.Is(err, io.EOF) {
		b.eof = true
		b.ended()
	}
	return n, err
}

// goOn tells a client that waits to send its body. It is called before
// anything of the response is written, or not at all.
func (b *requestBody) goOn() error {
	if !b.expects.CompareAndSwap(true, false) {
		return nil
	}
	if _, err := io.WriteString(b.h.conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
		return err
	}
	return nil
}

// Close implements io.Closer.
func (b *requestBody) Close() error { return nil }

// finish ends reading; it reports whether the connection can go on, which it
// cannot in the middle of a body.
func (b *requestBody) finish() bool {
	discard(b.h.conn.SetReadDeadline(time.Unix(1, 0))) // ends a Read under way
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	discard(b.h.conn.SetReadDeadline(time.Time{}))
	return b.eof
}
