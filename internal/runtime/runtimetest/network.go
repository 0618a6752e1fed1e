package runtimetest

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

// networks are behaviours of what can be reached.
func networks() []behaviour {
	return []behaviour{
		{"no network", testNoNetwork},
		{"gateway sockets", testGateway},
		{"hook socket stays", testHookSocket},
		{"own servers", testOwnServers},
	}
}

// Documentation addresses: nothing is there, and nothing may get there.
const (
	farV4 = "192.0.2.7:443"
	farV6 = "[2001:db8::7]:443"
)

func testNoNetwork(s *suite) {
	t := s.t
	box := s.start(t, s.spec(t))
	for _, to := range [][]string{{"tcp", farV4}, {"tcp", farV6}, {"tcp", "127.0.0.1:3128"}, {"udp", "192.0.2.7:53"}, {"udp", "127.0.0.1:53"}} {
		if r := s.attack(t, box, append([]string{"dial"}, to...)...); r.exit.Code == 0 {
			t.Errorf("dial %v: %q", to, r.stdout)
		}
	}
	if got := box.Sockets(); got.Proxy != nil || got.Hook != nil || len(got.Redirect)+len(got.DNS)+len(got.DNSTCP) > 0 {
		t.Errorf("sockets: %+v", got)
	}
	if got := s.sh(t, box, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"); got != "lo" {
		t.Errorf("devices: %q", got)
	}
}

// answer accepts connections, says who they came to, and closes.
func answer(l net.Listener, text func(net.Conn) string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed with the sandbox
		}
		_, _ = c.Write([]byte(text(c))) // the client judges
		_ = c.Close()                   // as above
	}
}

func serveGateway(s sandbox.Sockets) {
	says := func(text string) func(net.Conn) string { return func(net.Conn) string { return text } }
	go answer(s.Proxy, says("proxy"))
	go answer(s.Hook, says("hook"))
	for _, l := range s.DNSTCP {
		go answer(l, says("dnstcp"))
	}
	for _, l := range s.Redirect {
		go answer(l, func(c net.Conn) string {
			dst, err := s.OriginalDst(c)
			if err != nil {
				return err.Error()
			}
			return "redirect " + dst.String()
		})
	}
	for _, c := range s.DNS {
		go func() {
			buf := make([]byte, 512)
			for {
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					return // closed with the sandbox
				}
				_, _ = c.WriteTo(append([]byte("dns "), buf[:n]...), from) // the client judges
			}
		}()
	}
}

func testGateway(s *suite) {
	t := s.t
	spec := s.spec(t)
	spec.Network = sandbox.NetworkGateway
	box := s.start(t, spec)
	serveGateway(box.Sockets())
	v6 := len(box.Sockets().Redirect) > 1
	for _, tc := range []struct{ network, to, want string }{
		{"tcp", "127.0.0.1:3128", "proxy"},
		{"udp", "127.0.0.1:53", "dns hello"},
		{"tcp", "127.0.0.1:53", "dnstcp"},
		{"tcp", farV4, "redirect " + farV4},
		{"tcp", "192.0.2.7:80", "redirect 192.0.2.7:80"},
		{"tcp", "192.0.2.7:3128", "redirect 192.0.2.7:3128"},
		{"tcp", "169.254.169.254:80", "redirect 169.254.169.254:80"},
		{"udp", "192.0.2.7:53", "dns hello"},
		{"tcp", "192.0.2.7:53", "dnstcp"},
		{"tcp", farV6, "redirect " + farV6},
		{"udp", "[2001:db8::7]:53", "dns hello"},
	} {
		redirected := netip.MustParseAddrPort(tc.to).Addr()
		if !redirected.IsLoopback() && (!box.Facts().Redirect || redirected.Is6() && !v6) {
			tc.want = "" // unreachable then
		}
		if r := s.attack(t, box, "dial", tc.network, tc.to); r.stdout != tc.want {
			t.Errorf("%s %s: got %q (%s), want %q", tc.network, tc.to, r.stdout, strings.TrimSpace(r.stderr), tc.want)
		}
	}
	for _, to := range []string{"192.0.2.7:443", "192.0.2.7:123", "[2001:db8::7]:443"} {
		if r := s.attack(t, box, "dial", "udp", to); r.exit.Code == 0 {
			t.Errorf("udp %s: %q", to, r.stdout)
		}
	}
	hostOnly(t, s, box)
}

// hostOnly checks that a server on the host's own loopback is out of reach.
func hostOnly(t *testing.T, s *suite, box sandbox.Sandbox) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(s.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // the test is over
	go answer(l, func(net.Conn) string { return "host" })
	if r := s.attack(t, box, "dial", "tcp", l.Addr().String()); r.exit.Code == 0 {
		t.Errorf("the host's loopback answers: %q", r.stdout)
	}
}

func testHookSocket(s *suite) {
	t := s.t
	spec := s.spec(t)
	spec.Network = sandbox.NetworkGateway
	box := s.start(t, spec)
	serveGateway(box.Sockets())
	sock := sandbox.HookSocketPath
	for _, script := range []string{
		"rm -f " + sock, "mv " + sock + " /tmp/x", "chmod 000 " + sock, "ln -sf /tmp/x " + sock,
		"mv " + sandbox.RunDir + " /run/other", "rm -rf " + sandbox.RunDir, "touch " + sandbox.RunDir + "/x", "chmod 777 " + sandbox.RunDir,
	} {
		s.fails(t, box, script)
	}
	if got := s.sh(t, box, "test -S "+sock+" && echo there"); got != "there" {
		t.Errorf("hook socket: %q", got)
	}
	r := s.run(t, box, sandbox.Command{Argv: []string{sandbox.BinaryPath, attackVerb, "hook", sock}})
	if r.stdout != "hook" {
		t.Errorf("hook socket answers %q (%s)", r.stdout, r.stderr)
	}
}

func testOwnServers(s *suite) {
	t := s.t
	spec := s.spec(t)
	spec.Network = sandbox.NetworkGateway
	box := s.start(t, spec)
	r := s.attack(t, box, "loopback")
	if r.exit.Code != 0 {
		t.Errorf("own servers: %s", r.stderr)
	}
	if _, err := os.Stat(sandbox.HookSocketPath); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the hook socket is on the host: %v", err)
	}
}
