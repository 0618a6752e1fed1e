package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
)

const (
	maxQuery   = 4096
	answerTTL  = 60 // seconds; the addresses last as long as the run
	dnsIdle    = 10 * time.Second
	maxTCPDNS  = 64
	queriesTCP = 1000 // of one connection
)

var errDNSDrop = errors.New("not a query that can be answered")

// dnsAnswer is what was decided about one query.
type dnsAnswer struct {
	reply []byte
	// host is empty when there is nothing to record.
	host  string
	rule  policy.Rule
	deny  string
	fix   string
	rcode dnsmessage.RCode
}

// answerDNS answers one message. Nothing is ever looked up: a listed name has
// a synthetic address, everything else does not exist.
func (s *Server) answerDNS(message []byte, v6 bool) (dnsAnswer, error) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || h.Response || len(message) > maxQuery {
		return dnsAnswer{}, errDNSDrop // to answer an answer would make a loop
	}
	reply := dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: true}
	if h.OpCode != 0 {
		reply.RCode = dnsmessage.RCodeNotImplemented
		return pack(dnsAnswer{}, reply, nil, nil)
	}
	q, err := p.Question()
	if err == nil {
		if _, second := p.Question(); !errors.Is(second, dnsmessage.ErrSectionDone) {
			err = errDNSDrop
		}
	}
	if err != nil {
		reply.RCode = dnsmessage.RCodeFormatError
		return pack(dnsAnswer{}, reply, nil, nil)
	}
	answer, body := s.judgeDNS(q, v6)
	reply.RCode = answer.rcode
	return pack(answer, reply, &q, body)
}

// judgeDNS decides about one question.
func (s *Server) judgeDNS(q dnsmessage.Question, v6 bool) (dnsAnswer, dnsmessage.ResourceBody) {
	raw := strings.TrimSuffix(q.Name.String(), ".")
	host, err := policy.NormalizeHost(raw)
	if err != nil {
		return dnsAnswer{host: raw, deny: err.Error(), rcode: dnsmessage.RCodeNameError}, nil
	}
	if q.Class != dnsmessage.ClassINET {
		return dnsAnswer{host: host, deny: "only class IN is answered", rcode: dnsmessage.RCodeRefused}, nil
	}
	if policy.Local(host) {
		return dnsAnswer{}, addressBody(q.Type, [4]byte{127, 0, 0, 1}, [16]byte{15: 1}, true)
	}
	rule, ok := s.policy.Load().Lists(host)
	if !ok {
		d := s.policy.Load().Decide(policy.Request{Host: host, Port: policy.DefaultPort})
		return dnsAnswer{host: host, deny: d.Reason, fix: d.Fix, rcode: dnsmessage.RCodeNameError}, nil
	}
	answer := dnsAnswer{host: host, rule: rule}
	number, ok := s.names.number(host)
	if !ok {
		answer.deny, answer.rcode = "too many names in one run", dnsmessage.RCodeServerFailure
		return answer, nil
	}
	return answer, addressBody(q.Type, v4Of(number), v6Of(number), v6)
}

// addressBody is the answer to a question for an address; nil for others.
func addressBody(kind dnsmessage.Type, v4 [4]byte, v6 [16]byte, hasV6 bool) dnsmessage.ResourceBody {
	switch {
	case kind == dnsmessage.TypeA:
		return &dnsmessage.AResource{A: v4}
	case kind == dnsmessage.TypeAAAA && hasV6:
		return &dnsmessage.AAAAResource{AAAA: v6}
	}
	return nil
}

func pack(a dnsAnswer, h dnsmessage.Header, q *dnsmessage.Question, body dnsmessage.ResourceBody) (dnsAnswer, error) {
	m := dnsmessage.Message{Header: h}
	if q != nil {
		m.Questions = []dnsmessage.Question{*q}
		if body != nil {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: answerTTL},
				Body:   body,
			}}
		}
	}
	var err error
	if a.reply, err = m.Pack(); err != nil {
		return dnsAnswer{}, errDNSDrop
	}
	return a, nil
}

// resolve answers one message and records it.
func (s *Server) resolve(message []byte) ([]byte, error) {
	start := s.now()
	a, err := s.answerDNS(message, s.redirectV6)
	if err != nil {
		return nil, err
	}
	if a.host == "" {
		return a.reply, nil
	}
	r := audit.Request{
		ID: s.nextID(), Path: "dns", Host: a.host, Verdict: audit.Allow,
		Up: int64(len(message)), Down: int64(len(a.reply)), Duration: s.now().Sub(start),
	}
	if a.deny != "" {
		r.Verdict, r.Reason, r.Fix = audit.Deny, a.deny, a.fix
	} else {
		r.Rule = a.rule.Cite()
	}
	s.record(r)
	return a.reply, nil
}

// serveUDP answers datagrams until the socket is closed.
func (s *Server) serveUDP(ctx context.Context, conn net.PacketConn) {
	buf := make([]byte, maxQuery+1)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !s.pause(ctx) {
				return
			}
			continue
		}
		reply, err := s.resolve(buf[:n])
		if err != nil {
			continue
		}
		_, _ = conn.WriteTo(reply, from) // a client that is gone needs no answer
	}
}

// serveTCPDNS answers the messages of one connection (RFC 7766).
func (s *Server) serveTCPDNS(_ context.Context, conn net.Conn) {
	buf := make([]byte, 2+maxQuery)
	for range queriesTCP {
		if conn.SetDeadline(time.Now().Add(dnsIdle)) != nil {
			return
		}
		if _, err := io.ReadFull(conn, buf[:2]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(buf))
		if size > maxQuery {
			return
		}
		if _, err := io.ReadFull(conn, buf[2:2+size]); err != nil {
			return
		}
		reply, err := s.resolve(buf[2 : 2+size])
		if err != nil {
			return
		}
		framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reply)), uint16(len(reply))) //nolint:gosec // a reply is a few hundred bytes
		if _, err := conn.Write(append(framed, reply...)); err != nil {
			return
		}
	}
}
