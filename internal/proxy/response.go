package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// response writes one HTTP/1 response. It is an [http.ResponseWriter] with
// Flush and Hijack.
type response struct {
	h      *h1
	req    *http.Request
	flow   *flow
	body   *requestBody // of the request; may be nil
	header http.Header
	// detach stops whoever else reads from the connection.
	detach func()

	wrote    bool
	status   int
	phrase   string   // instead of the usual reason phrase
	chunked  bool     // the body goes in chunks
	noBody   bool     // there is none, whatever is written
	left     int64    // of Content-Length; -1 when unknown
	trailers []string // announced
	close    bool
	hijacked bool
	err      error
}

func newResponse(h *h1, req *http.Request, f *flow, body *requestBody) *response {
	return &response{h: h, req: req, flow: f, body: body, header: http.Header{}, left: -1, detach: func() {}}
}

var (
	errShort = errors.New("the response is not as long as it said")
	errLong  = errors.New("the response is longer than it said")
)

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter; informational responses go out
// at once.
func (w *response) WriteHeader(status int) {
	if w.wrote || w.err != nil {
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.informational(status)
		return
	}
	w.wrote, w.status = true, status
	if w.body != nil {
		w.body.expects.Store(false) // too late to ask for the body
	}
	w.frame()
	w.statusLine(status)
	w.fail(w.header.Write(w.h.bw))
	w.text("\r\n")
}

func (w *response) informational(status int) {
	if w.req.ProtoMinor == 0 {
		return
	}
	if status == http.StatusContinue && w.body != nil && !w.body.expects.CompareAndSwap(true, false) {
		return // it was sent when the body was first read
	}
	w.statusLine(status)
	w.fail(w.header.Write(w.h.bw))
	w.text("\r\n")
	w.Flush()
}

// frame decides how the end of the body is told.
func (w *response) frame() {
	w.header.Del("Transfer-Encoding")
	w.header.Del("Connection")
	if w.req.Close || w.req.ProtoMinor == 0 {
		w.close = true
	}
	w.noBody = w.req.Method == http.MethodHead || w.status == http.StatusNoContent || w.status == http.StatusNotModified
	length := w.header.Get("Content-Length")
	n, err := strconv.ParseInt(length, 10, 64)
	switch {
	case w.noBody:
	case length != "" && err == nil && n >= 0 && w.header["Trailer"] == nil:
		w.left = n
	case w.req.ProtoMinor == 1:
		w.header.Del("Content-Length")
		w.header.Set("Transfer-Encoding", "chunked")
		w.chunked = true
		w.announced()
	default:
		w.header.Del("Content-Length")
		w.close = true
	}
	if w.close {
		w.header.Set("Connection", "close")
	}
}

func (w *response) announced() {
	for _, line := range w.header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			w.trailers = append(w.trailers, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
}

func (w *response) statusLine(status int) {
	phrase := w.phrase
	if phrase == "" {
		phrase = http.StatusText(status)
	}
	w.text("HTTP/1.1 ")
	w.text(strconv.Itoa(status))
	w.text(" ")
	w.text(phrase)
	w.text("\r\n")
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case w.noBody || len(p) == 0:
		return len(p), nil
	case w.left >= 0 && int64(len(p)) > w.left:
		w.fail(errLong)
		return 0, w.err
	}
	if err := w.flow.down.pass(len(p)); err != nil {
		w.fail(err)
		return 0, w.err
	}
	if w.left >= 0 {
		w.left -= int64(len(p))
	}
	if w.chunked {
		w.text(strconv.FormatInt(int64(len(p)), 16))
		w.text("\r\n")
	}
	n, err := w.h.bw.Write(p)
	w.fail(err)
	if w.chunked {
		w.text("\r\n")
	}
	return n, w.err
}

// Flush implements http.Flusher.
func (w *response) Flush() { w.fail(w.h.bw.Flush()) }

// Hijack implements http.Hijacker: what follows is not HTTP any more.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.wrote || w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	w.detach()
	w.hijacked, w.status = true, http.StatusSwitchingProtocols
	conn := &upgraded{Conn: w.h.conn, r: w.h.br, flow: w.flow}
	return conn, bufio.NewReadWriter(w.h.br, w.h.bw), nil
}

// abort makes finish cut the connection: the body is not whole.
func (w *response) abort(err error) { w.fail(err) }

// finish completes the response. An error means that the connection cannot be
// used any more.
func (w *response) finish() error {
	if !w.wrote {
		w.header.Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
	}
	if w.left > 0 && !w.noBody {
		w.fail(errShort)
	}
	if w.err != nil {
		discard(w.h.bw.Flush())
		return w.err
	}
	if w.chunked {
		w.text("0\r\n")
		w.fail(w.trailer().Write(w.h.bw))
		w.text("\r\n")
	}
	w.fail(w.h.bw.Flush())
	return w.err
}

// trailer is what was set to follow the body.
func (w *response) trailer() http.Header {
	out := http.Header{}
	for _, name := range w.trailers {
		if values, ok := w.header[name]; ok {
			out[name] = values
		}
	}
	for name, values := range w.header {
		if bare, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			out[http.CanonicalHeaderKey(bare)] = values
		}
	}
	return out
}

// refuse writes a denial as the whole response.
func (w *response) refuse(d *denied) {
	w.phrase = w.flow.statusText()
	w.close = true
	writeDenial(w, w.flow, d)
}

// writeDenial writes a denial to any response writer.
func writeDenial(w http.ResponseWriter, f *flow, d *denied) {
	status := d.status
	if status == 0 {
		status = http.StatusForbidden
	}
	text := f.explain(d)
	f.rec.Status = status
	header := w.Header()
	header.Set(DeniedHeader, f.rec.ID)
	writeText(w, status, text)
}

// writeFailure tells that what is allowed did not work: not a denial.
func writeFailure(w http.ResponseWriter, f *flow, status int, err error) {
	f.rec.Status = status
	writeText(w, status, fmt.Sprintf("agent-process allowed %s:%d but could not reach it (%s)\nerror: %s\n",
		printable(f.rec.Host), f.rec.Port, f.rec.ID, printable(err.Error())))
}

func writeText(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err := io.WriteString(w, text)
	discard(err) // the client is gone, there is nobody to tell
}

func (w *response) text(s string) {
	_, err := w.h.bw.WriteString(s)
	w.fail(err)
}

func (w *response) fail(err error) {
	if w.err == nil && err != nil {
		w.err = err
	}
}

// upgraded is a connection that was HTTP: what the reader had buffered comes
// first, and bytes are counted.
type upgraded struct {
	net.Conn
	r    *bufio.Reader
	flow *flow
}

// Read implements net.Conn.
func (u *upgraded) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if spent := u.flow.up.pass(n); spent != nil {
		return 0, spent
	}
	return n, err
}

// Write implements net.Conn.
func (u *upgraded) Write(p []byte) (int, error) {
	if err := u.flow.down.pass(len(p)); err != nil {
		return 0, err
	}
	return u.Conn.Write(p)
}
