package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// What each round of a row does. The rows that count once a worker are done by
// all workers at the same time.
const (
	egressRounds = 9
	connects     = 100
	stormEach    = 100
	handshakes   = 40
	pingsEach    = 500
	webEach      = 150
	openedEach   = 150
	bulkBytes    = 256 << 20
)

// egressRow is one comparison: what is done through each of the ways.
type egressRow struct {
	title string
	// ways that cannot do it are left out.
	can  func(*proxied) bool
	once func(context.Context, *proxied) error
	// reference is set where the plain Go proxy does the same.
	reference bool
}

// egress compares the gateway, with its policy, record and limits, to a direct
// connection, to a plain Go proxy, to tinyproxy and to squid. All of them run
// on loopback in processes of their own.
func (b *bench) egress(ctx context.Context) error {
	w, err := b.newEgressWorld(ctx)
	if w != nil {
		defer w.stop()
	}
	if err != nil {
		return err
	}
	ways := []*proxied{w.direct(), w.plain(ctx), w.gateway(ctx), w.tinyproxy(ctx), w.squid(ctx), w.bump(ctx)}
	for _, p := range ways[:3] {
		if p.err != nil {
			return p.err
		}
	}
	rounds := min(b.rounds, egressRounds)
	for _, row := range egressRows(w.roots) {
		row.run(ctx, rounds, ways)
	}
	bulk(ctx, rounds, ways)
	b.openedRequests(ctx, rounds, ways)
	b.firstEvents(ctx, rounds, ways)
	for _, n := range []int{1000, 5000} {
		if err := idleTunnels(ctx, n, ways); err != nil {
			return err
		}
	}
	return nil
}

func tunnels(p *proxied) bool {
	return p.raw != "" && p.opened == "" || p.proxy == "" || p.name == ours
}

func opens(p *proxied) bool { return p.opened != "" }

// The names of rows.
const (
	ours    = "agent-process"
	plainGo = "plain Go CONNECT"
	bumped  = "squid ssl-bump"
)

func egressRows(roots *x509.CertPool) []egressRow {
	return []egressRow{
		{
			title: fmt.Sprintf("%d times a new tunnel and one small request", connects), can: tunnels, reference: true,
			once: func(ctx context.Context, p *proxied) error {
				return repeat(connects, func() error { return p.connectOnce(ctx) })
			},
		},
		{
			title: fmt.Sprintf("%d new tunnels by %d at once, a small request each", workers*stormEach, workers), can: tunnels, reference: true,
			once: func(ctx context.Context, p *proxied) error {
				return together(func() error { return repeat(stormEach, func() error { return p.connectOnce(ctx) }) })
			},
		},
		{
			title: fmt.Sprintf("%d times a new tunnel, TLS to the host in it, one small request", handshakes), can: tunnels, reference: true,
			once: func(ctx context.Context, p *proxied) error {
				return repeat(handshakes, func() error { return p.tlsOnce(ctx, p.tls, tlsHost, roots) })
			},
		},
		{
			title: fmt.Sprintf("%d small requests in each of %d tunnels", pingsEach, workers), can: tunnels, reference: true,
			once: func(ctx context.Context, p *proxied) error {
				return together(func() error { return p.pings(ctx, pingsEach) })
			},
		},
		{
			title: fmt.Sprintf("%d plain HTTP requests by each of %d, keep-alive where the proxy lets", webEach, workers),
			can:   func(p *proxied) bool { return p.web != "" && tunnels(p) },
			once: func(ctx context.Context, p *proxied) error {
				return together(func() error { return p.webRequests(ctx, webEach) })
			},
		},
		{
			title: fmt.Sprintf("opened TLS: %d times a new connection, a handshake, one small request", handshakes), can: opens,
			once: func(ctx context.Context, p *proxied) error {
				authority := p.opened
				if p.proxy == "" {
					authority = p.tls
				}
				return repeat(handshakes, func() error { return p.tlsOnce(ctx, authority, openHost, p.opens) })
			},
		},
	}
}

func repeat(n int, do func() error) error {
	for range n {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// run lets the ways take turns and says how ours stands.
func (r egressRow) run(ctx context.Context, rounds int, ways []*proxied) {
	ahead(r.measure(ctx, rounds, ways), r.reference)
}

// measure lets the ways take turns.
func (r egressRow) measure(ctx context.Context, rounds int, ways []*proxied) []*contender {
	var list []*contender
	for _, p := range ways {
		if p.err == nil && !r.can(p) {
			continue
		}
		list = append(list, &contender{name: p.name, err: p.err, once: func(ctx context.Context) (time.Duration, error) {
			start := time.Now()
			err := r.once(ctx, p)
			return time.Since(start), err
		}})
	}
	race(ctx, rounds, list)
	table(r.title, list[0], list)
	return list
}

// ahead says whether ours is ahead of the peers, and how far behind the plain
// Go proxy where that does the same.
func ahead(list []*contender, reference bool) {
	mine := find(list, ours)
	if mine == nil {
		return
	}
	for _, c := range list {
		switch {
		case c.err != nil || c == mine || c.name == "direct":
		case c.name == plainGo && reference:
			verdict("at most 20 % on top of a plain Go proxy", ratio(mine, c), 1.2)
		case c.name != plainGo:
			verdict("ahead of "+c.name, ratio(mine, c), 1)
		}
	}
}

func ratio(a, b *contender) float64 { return float64(a.median()) / float64(b.median()) }

// bulk measures one big tunnel, and what the proxies' processors do for it.
func bulk(ctx context.Context, rounds int, ways []*proxied) {
	var speed, work []*contender
	buf := make([]byte, 256<<10)
	for _, p := range ways {
		if p.err == nil && !tunnels(p) || p.opens != nil && p.err != nil {
			continue
		}
		burnt := &contender{name: p.name, err: p.err}
		speed = append(speed, &contender{name: p.name, err: p.err, once: func(ctx context.Context) (time.Duration, error) {
			before, err := p.processor()
			if err != nil {
				return 0, err
			}
			took, err := p.big(ctx, buf)
			if err != nil {
				return 0, err
			}
			after, err := p.processor()
			burnt.times = append(burnt.times, (after-before)*(1<<30)/bulkBytes)
			return took, err
		}})
		if p.proxy != "" {
			work = append(work, burnt)
		}
	}
	race(ctx, rounds, speed)
	table(fmt.Sprintf("one tunnel, %d MiB", bulkBytes>>20), speed[0], speed)
	ahead(speed, true)
	for _, c := range work {
		if len(c.times) > 0 {
			c.times = []time.Duration{mean(c.times)} // the kernel counts in ticks of 10 ms
		}
	}
	table("processor time of the proxy for each GiB", work[0], work)
	ahead(work, true)
}

func mean(times []time.Duration) time.Duration {
	var sum time.Duration
	for _, t := range times {
		sum += t
	}
	return sum / time.Duration(len(times))
}

// big opens a tunnel and says how long the bytes in it take.
func (p *proxied) big(ctx context.Context, buf []byte) (time.Duration, error) {
	conn, err := p.open(ctx, p.raw)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	err = fetch(conn, bulkBytes, buf)
	return time.Since(start), errors.Join(err, conn.Close())
}

// processor is how long the proxy's process has run (proc(5)).
func (p *proxied) processor() (time.Duration, error) {
	if p.proc == nil {
		return 0, nil
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.proc.PID()))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("stat of process %d reads %q", p.proc.PID(), data)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ, which is 100 everywhere Go runs
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// openedRequests measures small requests to a host whose TLS is opened, over
// connections that stay. Squid speaks HTTP/1.1 only, also to a client that
// would rather have h2: there the two are compared by what they add to a direct
// connection in the version that they speak.
func (b *bench) openedRequests(ctx context.Context, rounds int, ways []*proxied) {
	h1 := openedRow(ctx, rounds, ways, false)
	ahead(h1, false)
	h2 := openedRow(ctx, rounds, ways, true)
	mine, peer := find(h2, ours), find(h1, bumped)
	if mine != nil && peer != nil {
		verdict("h2 over direct h2, ahead of "+bumped+" over direct HTTP/1.1", ratio(mine, h2[0])/ratio(peer, h1[0]), 1)
	}
}

// find gives the contender of that name if it was measured.
func find(list []*contender, name string) *contender {
	at := slices.IndexFunc(list, func(c *contender) bool { return c.name == name && c.err == nil })
	if at < 0 {
		return nil
	}
	return list[at]
}

func openedRow(ctx context.Context, rounds int, ways []*proxied, h2 bool) []*contender {
	clients := map[*proxied]*http.Client{}
	for _, p := range ways {
		if opens(p) {
			c := p.openedClient(h2)
			defer c.CloseIdleConnections()
			clients[p] = c
		}
	}
	row := egressRow{
		title: fmt.Sprintf("opened TLS: %d small requests by each of %d, connections kept, %s", openedEach, workers, protocol(h2)), can: opens,
		once: func(ctx context.Context, p *proxied) error {
			return together(func() error {
				return repeat(openedEach, func() error { return p.openedRequest(ctx, clients[p]) })
			})
		},
	}
	return row.measure(ctx, rounds, ways)
}

func protocol(h2 bool) string {
	if h2 {
		return "h2 (HTTP/1.1 where the proxy speaks no h2)"
	}
	return "HTTP/1.1"
}

// idleTunnels measures what a tunnel that does nothing costs a proxy.
func idleTunnels(ctx context.Context, n int, ways []*proxied) error {
	fmt.Printf("\nmemory of %d idle tunnels, after a small request in each\n", n)
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	cost := map[string]float64{}
	for _, p := range ways {
		if p.proc == nil || p.err != nil || !tunnels(p) {
			continue
		}
		each, err := p.idle(ctx, n)
		if err != nil {
			fmt.Fprintf(w, "%s\tleft out: %v\t\n", p.name, err)
			continue
		}
		cost[p.name] = each
		fmt.Fprintf(w, "%s\t%.1f KiB each\t\n", p.name, each/(1<<10))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range ways {
		if of, ok := cost[p.name]; ok && p.name != ours && p.name != plainGo {
			verdict("ahead of "+p.name, cost[ours]/of, 1)
		}
	}
	return ctx.Err()
}

// idle opens n tunnels and gives (the plain Go proxy holds two pipes for each,
// and may run out of descriptors) what each added to the proxy's memory.
func (p *proxied) idle(ctx context.Context, n int) (each float64, err error) {
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			err = errors.Join(err, c.Close())
		}
	}()
	before, err := pss(p.proc.PID())
	if err != nil {
		return 0, err
	}
	buf := make([]byte, smallAnswer)
	for range n {
		conn, err := p.open(ctx, p.raw)
		if err != nil {
			return 0, err
		}
		conns = append(conns, conn)
		if err := fetch(conn, smallAnswer, buf); err != nil {
			return 0, err
		}
	}
	after, err := pss(p.proc.PID())
	return float64(after-before) / float64(n), err
}
