package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"agentprocess/internal/policy"
)

// request is what is known of a request besides itself.
type request struct {
	site       *site
	hostHeader string // as it was sent; empty when there was none
}

// destination is where a request was found to go.
type destination struct {
	scheme string
	host   string
	port   uint16
	opened []Credential
	asked  policy.Request
}

func (d destination) authority() string {
	if d.scheme == "http" && d.port == 80 || d.scheme == "https" && d.port == 443 {
		return d.host
	}
	return d.host + ":" + strconv.Itoa(int(d.port))
}

// flushInterval is how long a piece of a response may wait for the next one.
const flushInterval = 5 * time.Millisecond

// exchangeKey is how the reverse proxy's hooks find their exchange.
type exchangeKey struct{}

// exchange is one request on its way through the reverse proxy.
type exchange struct {
	flow *flow
	to   destination
	// cut is why the response's body ended early.
	cut error
}

// handle serves one request, from either version of HTTP, to its end.
func (s *Server) handle(w http.ResponseWriter, req *http.Request, f *flow, r request) {
	if r.site != nil {
		r.site.count()
	}
	f.rec.Method, f.rec.URLPath = printable(req.Method), printable(req.URL.Path)
	to, d := s.judge(req, f, r)
	if spent := f.up.pass(headSize(req)); spent != nil && d == nil {
		d = f.up.cut.Load()
	}
	if d == nil {
		d = s.swap(req, to)
	}
	if d != nil {
		f.deny(d)
		s.deny(w, f, d)
		return
	}
	ctx, release := s.hold(req.Context(), &lease{request: to.asked})
	defer release()
	e := &exchange{flow: f, to: to}
	ctx = context.WithValue(ctx, exchangeKey{}, e)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		f.rec.Address = info.Conn.RemoteAddr().String()
	}})
	out := w
	if len(to.opened) > 0 {
		out = &masking{ResponseWriter: w, credentials: to.opened}
	}
	defer func() { f.fail(ctx, e.cut) }() // also when the reverse proxy aborts
	s.reverse.ServeHTTP(out, req.WithContext(ctx))
	if cut, ok := w.(interface{ abort(error) }); ok && e.cut != nil {
		cut.abort(e.cut)
	}
}

// headSize is how long the head of a request is as HTTP/1 writes it. Bytes out
// of a sandbox are bytes out, in a query or a header as in a body.
func headSize(req *http.Request) int {
	n := len(req.Method) + len(req.URL.RequestURI()) + len(" ") + len(" HTTP/1.1\r\n") + len("Host: \r\n") + len(req.Host) + len("\r\n")
	for name, values := range req.Header {
		for _, v := range values {
			n += len(name) + len(": \r\n") + len(v)
		}
	}
	return n
}

func (s *Server) deny(w http.ResponseWriter, f *flow, d *denied) {
	if h1, ok := w.(*response); ok {
		h1.refuse(d)
		return
	}
	writeDenial(w, f, d)
}

// judge finds where a request goes and whether it may.
func (s *Server) judge(req *http.Request, f *flow, r request) (destination, *denied) {
	to, d := target(req, r)
	f.target(to.host, to.port)
	if d != nil {
		return to, d
	}
	to.asked, d = s.asked(req, to)
	if d != nil {
		return to, d
	}
	if _, d := s.use(f, to.asked); d != nil {
		return to, d
	}
	opened := s.credentialsOf(to.host)
	if to.scheme == "https" {
		to.opened = opened
	} else if len(opened) > 0 {
		return to, refusal("requests to " + strconv.Quote(to.host) + " go over TLS only: it has a credential")
	}
	return to, nil
}

// target reads where a request wants to go, and checks that everything that
// says so says the same.
func target(req *http.Request, r request) (destination, *denied) {
	to := destination{scheme: "http"}
	if r.site != nil {
		to = destination{scheme: r.site.scheme, host: r.site.host, port: r.site.port}
	}
	defaultPort := uint16(80)
	if to.scheme == "https" {
		defaultPort = 443
	}
	switch {
	case req.Method == http.MethodConnect:
		return to, &denied{reason: "CONNECT is for the proxy, not for a host behind it", status: http.StatusMethodNotAllowed}
	case req.URL.User != nil:
		return to, refusal("a URL with a user name is not allowed")
	case r.site == nil && (req.URL.Scheme != "http" || req.URL.Host == ""):
		return to, &denied{reason: "this is a proxy: it takes CONNECT, and http:// URLs", status: http.StatusBadRequest}
	case r.site != nil && req.URL.Path == "*", req.URL.Opaque != "":
		return to, &denied{reason: "this form of request target is not supported", status: http.StatusBadRequest}
	case r.site != nil && req.URL.Scheme != "" && req.URL.Scheme != to.scheme:
		return to, refusal("the request names another scheme than its connection")
	}
	if r.site == nil {
		var err error
		if to.host, to.port, err = policy.SplitAuthority(req.URL.Host, defaultPort); err != nil {
			to.host = printable(req.URL.Host) // for the record; nothing is dialled
			return to, refusal(err.Error())
		}
	}
	for _, authority := range []string{req.URL.Host, req.Host, r.hostHeader} {
		if d := agrees(authority, to, defaultPort); d != nil {
			return to, d
		}
	}
	return to, nil
}

// agrees refuses a request in which one part names another host than the rest.
func agrees(authority string, to destination, defaultPort uint16) *denied {
	if authority == "" {
		return nil
	}
	host, port, err := policy.SplitAuthority(authority, defaultPort)
	switch {
	case err != nil:
		return refusal(err.Error())
	case host != to.host:
		return refusal("the request is for " + strconv.Quote(host) + " but its connection or URL is for " + strconv.Quote(to.host))
	case port != to.port && strings.Contains(authority, ":"):
		return refusal("the request is for port " + strconv.Itoa(int(port)) + " but its connection or URL is for port " + strconv.Itoa(int(to.port)))
	}
	return nil
}

func (s *Server) newReverse() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: s.transport,
		// Streams, which have no length, are passed on at once whatever stands
		// here. What has a length need not go out in two pieces.
		FlushInterval:  flushInterval,
		BufferPool:     pool{},
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // all of it is in the record
		Rewrite:        rewrite,
		ModifyResponse: modify,
		ErrorHandler:   failed,
	}
}

func exchangeOf(ctx context.Context) *exchange {
	e, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return &exchange{flow: &flow{}}
	}
	return e
}

// rewrite makes the request that goes out.
func rewrite(r *httputil.ProxyRequest) {
	to := exchangeOf(r.In.Context()).to
	r.Out.URL.Scheme, r.Out.URL.Host = to.scheme, net.JoinHostPort(to.host, strconv.Itoa(int(to.port)))
	r.Out.URL.User = nil
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Host = to.authority()
	r.Out.Header.Del("Host")
	// Switching to anything but websocket would hide what follows, such as
	// requests to another authority in HTTP/2 without TLS.
	if !strings.EqualFold(r.Out.Header.Get("Upgrade"), "websocket") {
		r.Out.Header.Del("Upgrade")
		r.Out.Header.Del("Connection")
	}
	if len(to.opened) == 0 {
		return
	}
	r.Out.URL.RawQuery = swapQuery(r.In.URL.RawQuery, to.opened)
	for _, c := range to.opened {
		if c.Header != "" && r.In.Header.Get(c.Header) == c.given {
			r.Out.Header.Set(c.Header, c.real)
		}
	}
	legible(r.Out.Header)
}

// modify takes note of a response before it is passed on.
func modify(res *http.Response) error {
	e := exchangeOf(res.Request.Context())
	e.flow.rec.Status = res.StatusCode
	res.Header.Del(DeniedHeader) // a host does not speak for us
	if len(e.to.opened) > 0 {
		mask(res.Header, e.to.opened)
		// A client that sent a cookie back would be refused, see swap.
		res.Header.Del("Set-Cookie")
		if err := shroud(res, e.to.opened); err != nil {
			return err
		}
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = &responseBody{ReadCloser: res.Body, res: res, exchange: e}
	}
	return nil
}

// responseBody sees a response's body go by: the place for whatever is to
// look at it. It notes how it ended and masks what follows it.
type responseBody struct {
	io.ReadCloser
	res      *http.Response
	exchange *exchange
}

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		mask(b.res.Trailer, b.exchange.to.opened)
	case err != nil:
		b.exchange.cut = err
	}
	return n, err
}

// failed answers a request that got no response.
func failed(w http.ResponseWriter, req *http.Request, err error) {
	e := exchangeOf(req.Context())
	if d, ok := errors.AsType[*denied](err); ok {
		e.flow.deny(d)
		writeDenial(w, e.flow, d)
		return
	}
	e.flow.fail(req.Context(), err)
	writeFailure(w, e.flow, failureStatus(err), err)
}

func failureStatus(err error) int {
	ne, ok := errors.AsType[net.Error](err)
	if ok && ne.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// pool is the reverse proxy's door to the shared buffers.
type pool struct{}

// Get implements httputil.BufferPool.
func (pool) Get() []byte { return *getBuffer() }

// Put implements httputil.BufferPool.
func (pool) Put(b []byte) {
	if len(b) == pumpBuffer {
		putBuffer(&b)
	}
}

// queryOf splits a query at both separators that servers know, without the
// leniency of either.
func queryOf(u *url.URL) []string {
	return strings.FieldsFunc(u.RawQuery, func(r rune) bool { return r == '&' || r == ';' })
}
