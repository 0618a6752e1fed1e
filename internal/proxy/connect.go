package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"agentprocess/internal/policy"
)

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// serveConnect serves a CONNECT request and the tunnel it asks for.
func (s *Server) serveConnect(ctx context.Context, h *h1, parsed head) {
	f := s.begin("connect")
	defer f.end()
	host, port, d := connectTarget(parsed.target, parsed.host, f)
	v := &visit{server: s, flow: f, host: host, port: port, path: "connect"}
	if d == nil {
		d = v.judge()
	}
	if d != nil {
		h.refuseConnect(f, d)
		return
	}
	ctx, release := s.hold(ctx, v.lease())
	defer release()
	if v.dialsFirst() {
		if err := v.dial(ctx); err != nil {
			if d, ok := errors.AsType[*denied](err); ok {
				h.refuseConnect(f, d)
				return
			}
			f.fail(ctx, err)
			w := h.closing(f)
			writeFailure(w, f, failureStatus(err), err)
			discard(w.finish())
			return
		}
	}
	if _, err := io.WriteString(h.conn, established); err != nil {
		v.drop()
		f.fail(ctx, err)
		return
	}
	v.client = h.takeOver()
	v.serve(ctx)
}

// closing is a response after which the connection ends.
func (h *h1) closing(f *flow) *response {
	w := newResponse(h, &http.Request{ProtoMajor: 1, ProtoMinor: 1}, f, nil)
	w.close = true
	return w
}

// refuseConnect answers a CONNECT request that is denied.
func (h *h1) refuseConnect(f *flow, d *denied) {
	f.deny(d)
	w := h.closing(f)
	w.refuse(d)
	discard(w.finish())
	f.end()
	lingerClose(h.conn)
}

// connectTarget reads the authority of a CONNECT request.
func connectTarget(authority, hostHeader string, f *flow) (string, uint16, *denied) {
	host, port, err := policy.SplitAuthority(authority, 0)
	if err != nil {
		f.target(printable(authority), 0)
		d := refusal(err.Error())
		if !errors.Is(err, policy.ErrHostAddress) {
			d.status = http.StatusBadRequest
		}
		return "", 0, d
	}
	f.target(host, port)
	if hostHeader != "" {
		// Some clients leave the port out here, which is no lie.
		if other, _, err := policy.SplitAuthority(hostHeader, port); err != nil || other != host {
			return "", 0, refusal("CONNECT and its Host header name different hosts")
		}
	}
	return host, port, nil
}

// takeOver gives the connection with what was read ahead.
func (h *h1) takeOver() *peeked {
	p := &peeked{Conn: h.conn}
	if n := h.br.Buffered(); n > 0 {
		ahead, err := h.br.Peek(n)
		discard(err) // what is buffered can be peeked
		p.head = append(p.head, ahead...)
	}
	h.release() // a tunnel may last for hours and needs no buffers
	return p
}

// visit is a connection whose destination is known and listed.
type visit struct {
	server   *Server
	flow     *flow
	client   *peeked
	upstream net.Conn // nil until dialled
	host     string
	port     uint16
	path     string
	raw      bool // a rule says tcp
	opened   bool // requests in it are judged, or get a credential
}

// judge decides about the connection.
func (v *visit) judge() (d *denied) {
	s := v.server
	q := policy.Request{Host: v.host, Port: v.port}
	if _, d = s.decide(v.flow, q); d != nil {
		return d
	}
	set := s.policy.Load()
	v.opened = len(s.credentialsOf(v.host)) > 0 || set.Inspects(v.host, v.port)
	if v.port == 443 || v.port == 80 {
		q.Scheme = policy.SchemeTCP
		v.raw = !v.opened && set.Decide(q).Allowed()
	}
	return nil
}

func (v *visit) lease() *lease {
	return &lease{request: policy.Request{Host: v.host, Port: v.port}, blind: !v.opened && (v.port != 80 || v.raw)}
}

// dialsFirst reports whether the host is dialled before the client has said
// anything: so that CONNECT can answer whether that worked.
func (v *visit) dialsFirst() bool { return (v.port != 80 || v.raw) && !v.opened }

func (v *visit) dial(ctx context.Context) error {
	conn, err := v.server.dial(ctx, v.host, v.port)
	if err != nil {
		return err
	}
	v.upstream = conn
	v.flow.rec.Address = conn.RemoteAddr().String()
	return nil
}

func (v *visit) drop() {
	if v.upstream != nil {
		discard(v.upstream.Close())
	}
}

// serve finds out what the client speaks and passes it on or refuses it.
func (v *visit) serve(ctx context.Context) {
	defer v.drop()
	stop := context.AfterFunc(ctx, func() { discard(v.client.Close()) })
	defer stop()
	switch {
	case v.raw:
		discard(v.relay(ctx, nil))
	case v.port == 443 || len(v.server.credentialsOf(v.host)) > 0:
		v.serveTLS(ctx)
	case v.port == 80 || v.opened:
		v.serveWeb(ctx)
	default:
		v.serveAny(ctx)
	}
}

// serveTLS lets TLS through whose server name is the host, and nothing else.
func (v *visit) serveTLS(ctx context.Context) {
	if err := v.checkSNI(); err != nil {
		v.refuse(ctx, err)
		return
	}
	if v.opened {
		if !v.server.authority.vouches(v.host) {
			v.refuse(ctx, refusal("its requests must be judged one by one, and that its TLS is opened for it can only be said when a run starts"))
			return
		}
		v.open(ctx)
		return
	}
	if v.port == 80 {
		// What is inside is not seen, unlike the HTTP this port is for.
		var release func()
		l := v.lease()
		l.blind = true
		ctx, release = v.server.hold(ctx, l)
		defer release()
	}
	discard(v.relay(ctx, nil)) // without inspection there is nothing to switch to
}

// serveWeb serves port 80: HTTP, or TLS all the same.
func (v *visit) serveWeb(ctx context.Context) {
	if err := v.client.first(v.server.cfg.Limits.KeepAlive); err != nil {
		v.quiet(ctx, err)
		return
	}
	if v.client.head[0] == recordHandshake {
		v.serveTLS(ctx)
		return
	}
	v.serveHTTP(ctx)
}

// errSwitch says that what looked like a tunnel is HTTP.
var errSwitch = errors.New("it is HTTP")

// serveAny serves a port that a rule names. The server may speak first there,
// so both directions run while the client's first bytes are waited for.
func (v *visit) serveAny(ctx context.Context) {
	err := v.relay(ctx, func() error {
		if err := v.client.first(0); err != nil {
			if errors.Is(err, io.EOF) {
				return nil // the client only listens
			}
			return err
		}
		if v.client.head[0] == recordHandshake {
			return v.checkSNI()
		}
		is, err := v.client.isHTTP(v.server.cfg.Limits.Header)
		switch {
		case err != nil:
			return err
		case is && v.flow.down.Load() == 0:
			return errSwitch
		}
		return v.speaks(policy.SchemeTCP)
	})
	if errors.Is(err, errSwitch) {
		v.serveHTTP(ctx)
	}
}

// relay runs the tunnel. The error is errSwitch or nil: all else is dealt with.
func (v *visit) relay(ctx context.Context, inspect func() error) error {
	rule, d := v.server.use(v.flow, policy.Request{Host: v.host, Port: v.port})
	if d != nil {
		v.refuse(ctx, d)
		return nil
	}
	if v.upstream == nil {
		if err := v.dial(ctx); err != nil {
			v.flow.fail(ctx, err)
			reset(v.client.Conn)
			return nil
		}
	}
	t := &tunnel{client: v.client, upstream: v.upstream, flow: v.flow, idle: v.server.cfg.Limits.Tunnel, pipes: v.server.pipes, inspect: inspect}
	err := t.relay(ctx)
	switch {
	case errors.Is(err, errSwitch):
		v.server.uses.giveBack(rule) // its requests count instead
		return err
	case t.refused.Load():
		v.refuse(ctx, err)
	case err != nil || ctx.Err() != nil:
		v.flow.fail(ctx, err)
	}
	return nil
}

// serveHTTP serves requests to the host one by one, each with its own record.
func (v *visit) serveHTTP(ctx context.Context) {
	v.drop()
	at := &site{host: v.host, port: v.port, scheme: "http", path: v.path}
	v.server.newH1(v.client, at).serve(ctx)
	v.flow.done = v.flow.done || at.served()
}

// checkSNI refuses anything but TLS to the host.
func (v *visit) checkSNI() error {
	if err := v.client.first(v.server.cfg.Limits.KeepAlive); err != nil {
		return err
	}
	name, err := v.client.sni(v.server.cfg.Limits.Header)
	if err != nil {
		return err
	}
	host, err := policy.NormalizeHost(name)
	switch {
	case err != nil:
		return refusal("the TLS server name (SNI) is not a host name: " + err.Error())
	case host != v.host:
		return refusal("the TLS server name (SNI) is " + strconv.Quote(host) + " but the connection is for " + strconv.Quote(v.host))
	}
	return v.speaks(policy.SchemeHTTPS)
}

// speaks judges the connection again when it shows what it carries.
func (v *visit) speaks(scheme string) error {
	if _, d := v.server.decide(v.flow, policy.Request{Host: v.host, Port: v.port, Scheme: scheme}); d != nil {
		return d
	}
	return nil
}

// refuse ends a connection whose first bytes were not as they must be, in the
// client's own language as far as there is one.
func (v *visit) refuse(ctx context.Context, err error) {
	d, ok := errors.AsType[*denied](err)
	switch {
	case ok:
	case errors.Is(err, errNotTLS), errors.Is(err, errHello), errors.Is(err, errNoSNI):
		d = refusal("a connection to port " + strconv.Itoa(int(v.port)) + " must be TLS for its host, but " + err.Error())
	case errors.Is(err, errSilent) && len(v.client.head) > 0:
		d = refusal(err.Error())
	default:
		v.quiet(ctx, err)
		return
	}
	v.flow.deny(d)
	if len(v.client.head) > 0 && v.client.head[0] == recordHandshake {
		_, err := v.client.Write(alertAccessDenied())
		discard(err)
		v.flow.end()
		lingerClose(v.client.Conn)
		return
	}
	if is, _ := looksHTTP(v.client.head); is {
		w := newResponse(v.server.newH1(v.client, nil), &http.Request{ProtoMajor: 1, ProtoMinor: 1}, v.flow, nil)
		w.refuse(d)
		discard(w.finish())
		v.flow.end()
		lingerClose(v.client.Conn)
		return
	}
	reset(v.client.Conn)
}

// quiet ends a connection on which the client said nothing worth an answer.
func (v *visit) quiet(ctx context.Context, err error) {
	if !errors.Is(err, io.EOF) && !errors.Is(err, errSilent) {
		v.flow.fail(ctx, err)
	}
	discard(v.client.Close())
}

// alertAccessDenied is a fatal TLS alert, which clients name in their error.
func alertAccessDenied() []byte { return []byte{21, 3, 1, 0, 2, 2, 49} }

// serveRedirect serves a connection that was redirected to the gateway.
func (s *Server) serveRedirect(ctx context.Context, conn net.Conn, originalDst func(net.Conn) (netip.AddrPort, error)) {
	f := s.begin("redirect")
	defer f.end()
	dst, err := originalDst(conn)
	if err != nil {
		f.deny(refusal("where the connection was going cannot be told: " + err.Error()))
		reset(conn)
		return
	}
	addr, port := dst.Addr().Unmap(), dst.Port()
	host, ok := s.names.name(addr)
	if !ok {
		f.target(addr.String(), port)
		f.deny(refusal("only names can be reached, and no listed name has the address " + addr.String()))
		reset(conn)
		return
	}
	f.target(host, port)
	v := &visit{server: s, flow: f, client: &peeked{Conn: conn}, host: host, port: port, path: "redirect"}
	if d := v.judge(); d != nil {
		v.unlisted(ctx, d)
		return
	}
	ctx, release := s.hold(ctx, v.lease())
	defer release()
	v.serve(ctx)
}

// unlisted refuses a listed name on another port. On port 80 there is likely
// a request to answer, which says more than a reset.
func (v *visit) unlisted(ctx context.Context, d *denied) {
	v.flow.deny(d)
	if v.port == 80 && v.client.first(v.server.cfg.Limits.Header) == nil {
		if is, _ := looksHTTP(v.client.head); is {
			v.serveHTTP(ctx)
			return
		}
	}
	reset(v.client.Conn)
}
