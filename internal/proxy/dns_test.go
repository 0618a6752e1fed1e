package proxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"agentprocess/internal/audit"
)

func query(tb testing.TB, name string, kind dnsmessage.Type) []byte {
	tb.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	data, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func answerOf(t *testing.T, reply []byte) (dnsmessage.Header, string) {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, a := range m.Answers {
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			text.WriteString(netip.AddrFrom4(body.A).String())
		case *dnsmessage.AAAAResource:
			text.WriteString(netip.AddrFrom16(body.AAAA).String())
		default:
			fmt.Fprintf(&text, "%T", body)
		}
	}
	return m.Header, text.String()
}

func (g *gateway) lookup(t *testing.T, network string, message []byte) []byte {
	t.Helper()
	address := g.dns
	if network == "tcp" {
		address = g.dnsTCP
		message = append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
	}
	c, err := (&net.Dialer{}).DialContext(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(message); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 4096)
	n, err := c.Read(reply)
	if network == "tcp" && err == nil {
		if n < 2 {
			t.Fatal("the length comes alone")
		}
		return reply[2:n]
	}
	if err != nil {
		t.Fatal(err)
	}
	return reply[:n]
}

func TestDNS(t *testing.T) {
	g := newGateway(t, "example.com\n*.example.org\nssh.example.net:22", nil)
	const a, aaaa = dnsmessage.TypeA, dnsmessage.TypeAAAA
	for _, tt := range []struct {
		name   string
		kind   dnsmessage.Type
		rcode  dnsmessage.RCode
		answer string
	}{
		{"example.com.", a, dnsmessage.RCodeSuccess, "198.18.0.1"},
		{"eXaMpLe.CoM.", a, dnsmessage.RCodeSuccess, "198.18.0.1"},
		{"a.b.example.org.", a, dnsmessage.RCodeSuccess, "198.18.0.2"},
		{"ssh.example.net.", a, dnsmessage.RCodeSuccess, "198.18.0.3"},
		{"example.com.", aaaa, dnsmessage.RCodeSuccess, ""}, // nothing would catch IPv6 here
		{"example.com.", dnsmessage.TypeTXT, dnsmessage.RCodeSuccess, ""},
		{"example.com.", dnsmessage.TypeMX, dnsmessage.RCodeSuccess, ""},
		{"example.com.", dnsmessage.Type(65), dnsmessage.RCodeSuccess, ""},
		{"localhost.", a, dnsmessage.RCodeSuccess, "127.0.0.1"},
		{"x.localhost.", aaaa, dnsmessage.RCodeSuccess, "::1"},
		{"example.org.", a, dnsmessage.RCodeNameError, ""},
		{"evil.example.", a, dnsmessage.RCodeNameError, ""},
		{"evil.example.", dnsmessage.TypeTXT, dnsmessage.RCodeNameError, ""},
		{"secret-data.evil.example.", aaaa, dnsmessage.RCodeNameError, ""},
		{"127.0.0.1.", a, dnsmessage.RCodeNameError, ""},
		{"1.0.18.198.in-addr.arpa.", dnsmessage.TypePTR, dnsmessage.RCodeNameError, ""},
		{"example.com\x00.", a, dnsmessage.RCodeNameError, ""},
		{".", dnsmessage.TypeNS, dnsmessage.RCodeNameError, ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(fmt.Sprintf("%s %q %s", network, tt.name, tt.kind), func(t *testing.T) {
				h, answer := answerOf(t, g.lookup(t, network, query(t, tt.name, tt.kind)))
				if h.RCode != tt.rcode || answer != tt.answer || h.ID != 7 || !h.Response || !h.RecursionAvailable {
					t.Errorf("%+v %q", h, answer)
				}
			})
		}
	}
	if asked := g.resolver.questions(); len(asked) != 0 {
		t.Errorf("the host's resolver was asked for %q", asked)
	}
	r := g.records.next(t, func(q audit.Request) bool { return q.Host == "evil.example" })
	if r.Path != "dns" || r.Verdict != audit.Deny || r.Fix != "evil.example" || r.Up == 0 || r.Down == 0 {
		t.Errorf("recorded %+v", r)
	}
	for _, addr := range []string{"198.18.0.3", "fd61:6765:6e74:7072:6f63::3"} {
		if host, ok := g.names.name(netip.MustParseAddr(addr)); host != "ssh.example.net" || !ok {
			t.Errorf("%s is %q", addr, host)
		}
	}
	for _, addr := range []string{"198.18.0.0", "198.18.0.4", "198.17.255.255", "198.20.0.1", "fd61:6765:6e74:7072:6f63::", "fd61:6765:6e74:7072:6f64::1", "0.0.0.0", "255.255.255.255"} {
		if host, ok := g.names.name(netip.MustParseAddr(addr)); ok {
			t.Errorf("%s is %q", addr, host)
		}
	}
}

// Where IPv6 connections are caught, names have an IPv6 address too.
func TestDNSWithV6(t *testing.T) {
	t.Parallel()
	srv, err := New(Config{Policy: rulesOf(t, "example.com")})
	if err != nil {
		t.Fatal(err)
	}
	a, err := srv.answerDNS(query(t, "example.com.", dnsmessage.TypeAAAA), true)
	if err != nil {
		t.Fatal(err)
	}
	if h, answer := answerOf(t, a.reply); h.RCode != dnsmessage.RCodeSuccess || answer != "fd61:6765:6e74:7072:6f63::1" {
		t.Errorf("%+v %q", h, answer)
	}
	if !onV6(addressed{"[::1]:3129"}) || onV6(addressed{"127.0.0.1:3129"}) {
		t.Error("the family of a listener is mistaken")
	}
}

type addressed struct{ text string }

func (addressed) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (addressed) Close() error              { return nil }
func (a addressed) Addr() net.Addr          { return a }
func (addressed) Network() string           { return "tcp" }
func (a addressed) String() string          { return a.text }

func TestMalformedDNS(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "example.com", nil)
	good := query(t, "example.com.", dnsmessage.TypeA)
	edit := func(at int, b byte) []byte {
		out := append([]byte(nil), good...)
		out[at] = b
		return out
	}
	for name, tt := range map[string]struct {
		message []byte
		rcode   dnsmessage.RCode
	}{
		"two questions":    {append(edit(5, 2), good[12:]...), dnsmessage.RCodeFormatError},
		"no question":      {edit(5, 0)[:12], dnsmessage.RCodeFormatError},
		"cut question":     {good[:15], dnsmessage.RCodeFormatError},
		"pointer to self":  {append(append([]byte(nil), good[:12]...), 0xc0, 12, 0, 1, 0, 1), dnsmessage.RCodeFormatError},
		"update":           {edit(2, 5<<3), dnsmessage.RCodeNotImplemented},
		"class CHAOS":      {edit(len(good)-1, 3), dnsmessage.RCodeRefused},
		"additional bytes": {append(append([]byte(nil), good...), make([]byte, 100)...), dnsmessage.RCodeSuccess},
	} {
		if h, _ := answerOf(t, g.lookup(t, "udp", tt.message)); h.RCode != tt.rcode {
			t.Errorf("%s: %+v", name, h)
		}
	}
	for name, message := range map[string][]byte{
		"empty": {}, "short": good[:11], "a response": edit(2, 0x80), "too long": append(append([]byte(nil), good...), make([]byte, maxQuery)...),
	} {
		if _, err := g.answerDNS(message, true); err == nil {
			t.Errorf("%s: answered", name)
		}
	}
	c := dial(t, g.dnsTCP)
	if _, err := c.Write([]byte{0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(c); len(data) > 0 {
		t.Errorf("%q, %v", data, err)
	}
}

// A flood of names below a wildcard fills the table and nothing else.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	n := newNames()
	for i := range maxNames {
		if _, ok := n.number(fmt.Sprintf("n%d.example", i)); !ok {
			t.Fatalf("name %d is refused", i)
		}
	}
	if _, ok := n.number("one.more.example"); ok {
		t.Error("one more is accepted")
	}
	if i, ok := n.number("n5.example"); !ok || i != 6 {
		t.Errorf("a known name is %d, %t", i, ok)
	}
	last := netip.AddrFrom4(v4Of(maxNames))
	if host, ok := n.name(last); !ok || host != fmt.Sprintf("n%d.example", maxNames-1) || !netip.MustParsePrefix("198.18.0.0/15").Contains(last) {
		t.Errorf("%s is %q", last, host)
	}
}

func FuzzDNS(f *testing.F) {
	srv, err := New(Config{Policy: rulesOf(f, "example.com\n*.example.org")})
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"example.com.", "a.example.org.", "evil.example.", "localhost.", "."} {
		f.Add(query(f, name, dnsmessage.TypeA))
		f.Add(query(f, name, dnsmessage.TypeAAAA))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		a, err := srv.answerDNS(message, true)
		if err != nil {
			return
		}
		h, answer := answerOf(t, a.reply)
		if !h.Response || len(a.reply) > 512 || len(message) >= 2 && h.ID != binary.BigEndian.Uint16(message) {
			t.Errorf("%x: %+v, %d bytes", message, h, len(a.reply))
		}
		listed := a.rule.Name != "" && a.deny == ""
		if answer != "" && !listed && answer != "127.0.0.1" && answer != "::1" {
			t.Errorf("%x: %q for a name that is not listed", message, answer)
		}
		if listed && !strings.HasSuffix(a.host, a.rule.Name) {
			t.Errorf("%x: %q by %q", message, a.host, a.rule)
		}
	})
}

func FuzzClientHello(f *testing.F) {
	f.Add(clientHello(f, "example.com"))
	f.Add(withExtension(clientHello(f, "example.com"), 0x2a2a, []byte("GREASE")))
	f.Add(clientHello(f, ""))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		name, err := serverName(data)
		if err == nil && (name == "" || !strings.Contains(string(data), name) && len(name) < 2) {
			t.Errorf("%x: %q", data, name)
		}
		again, err2 := serverName(data)
		if again != name || (err == nil) != (err2 == nil) {
			t.Error("not the same twice")
		}
	})
}
