package e2e

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// hostDNS is the resolver that the host uses: the one place to which a lookup
// by the gateway goes, and where lookups by anybody else would show.
type hostDNS struct {
	mu    sync.Mutex
	zone  map[string][][]string // answers of the first lookup, the second ...
	asked []string
}

// newHostDNS listens where the host's resolver is. Every name that is not in
// the zone has the address of nobody.
func newHostDNS(t *testing.T, zone map[string][][]string) *hostDNS {
	t.Helper()
	d := &hostDNS{zone: zone}
	address := net.JoinHostPort(nameserver(t), "53")
	p, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { d.servePackets(p) })
	wg.Go(func() { d.serveStreams(l) })
	t.Cleanup(func() {
		p.Close()
		l.Close()
		wg.Wait()
	})
	return d
}

// nameserver is the first one of the host's configuration.
func nameserver(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			return f[1]
		}
	}
	return "127.0.0.1" // what resolvers fall back to
}

// nobodyAddress is unicast by its prefix, but assigned to nobody.
const nobodyAddress = "2d00::bad"

func (d *hostDNS) servePackets(p net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := d.answer(buf[:n]); reply != nil {
			_, _ = p.WriteTo(reply, from) // who asked may be gone
		}
	}
}

func (d *hostDNS) serveStreams(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		var size [2]byte
		if _, err := io.ReadFull(r, size[:]); err == nil {
			message := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(r, message); err == nil {
				reply := d.answer(message)
				binary.BigEndian.PutUint16(size[:], uint16(len(reply)))
				_, _ = conn.Write(append(size[:], reply...)) // who asked may be gone
			}
		}
		conn.Close()
	}
}

// answer answers one query. A name's addresses change with each lookup, which
// is a question for A and one for AAAA.
func (d *hostDNS) answer(query []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	key := name + " " + q.Type.String()
	d.mu.Lock()
	defer d.mu.Unlock()
	times := 0
	for _, a := range d.asked {
		if a == key {
			times++
		}
	}
	d.asked = append(d.asked, key)
	answers := d.zone[name]
	if answers == nil {
		answers = [][]string{{nobodyAddress}}
	}
	m.Response, m.Additionals = true, nil
	for _, text := range answers[min(times, len(answers)-1)] {
		addr := netip.MustParseAddr(text)
		h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type}
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: addr.As4()}})
		case addr.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}

// names are those that were looked up, each once.
func (d *hostDNS) names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, a := range d.asked {
		name, _, _ := strings.Cut(a, " ")
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
