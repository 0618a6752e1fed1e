package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

func mustParse(t *testing.T, text string) *Set {
	t.Helper()
	rules, err := ParseRules("test", text)
	if err != nil {
		t.Fatal(err)
	}
	return NewSet(rules)
}

func TestDecide(t *testing.T) {
	t.Parallel()
	set := mustParse(t, `
example.com
*.example.org
*.deep.example.org:8443
ssh.example.net:22
http://plain.example
both.example
http://both.example
bücher.example
`)
	const unlisted = `no rule lists %q`
	for _, tt := range []struct {
		name   string
		q      Request
		rule   string // empty: denied
		reason string
		fix    string
	}{
		{"exact", Request{Host: "example.com", Port: 443, Scheme: ""}, "example.com", "", ""},
		{"upper case", Request{Host: "EXAMPLE.COM", Port: 443, Scheme: "https"}, "example.com", "", ""},
		{"dot at the end", Request{Host: "example.com.", Port: 443, Scheme: ""}, "example.com", "", ""},
		{"below an exact rule", Request{Host: "www.example.com", Port: 443, Scheme: ""}, "", fmt.Sprintf(unlisted, "www.example.com"), "www.example.com"},
		{"suffix without a dot", Request{Host: "badexample.com", Port: 443, Scheme: ""}, "", fmt.Sprintf(unlisted, "badexample.com"), "badexample.com"},
		{"prefix", Request{Host: "example.com.evil.test", Port: 443, Scheme: ""}, "", fmt.Sprintf(unlisted, "example.com.evil.test"), "example.com.evil.test"},
		{"one below", Request{Host: "a.example.org", Port: 443, Scheme: ""}, "*.example.org", "", ""},
		{"four below", Request{Host: "a.b.c.d.example.org", Port: 443, Scheme: ""}, "*.example.org", "", ""},
		{"apex of a wildcard", Request{Host: "example.org", Port: 443, Scheme: ""}, "", fmt.Sprintf(unlisted, "example.org"), "example.org"},
		{"wildcard with port", Request{Host: "x.deep.example.org", Port: 8443, Scheme: ""}, "*.deep.example.org:8443", "", ""},
		{"wider wildcard, its port", Request{Host: "x.deep.example.org", Port: 443, Scheme: ""}, "*.example.org", "", ""},
		{"neither port", Request{Host: "x.deep.example.org", Port: 8080, Scheme: ""}, "", `"x.deep.example.org" is listed for port 443, 8443, not for 8080`, "x.deep.example.org:8080"},
		{"other port", Request{Host: "example.com", Port: 8443, Scheme: ""}, "", `"example.com" is listed for port 443, not for 8443`, "example.com:8443"},
		{"port 22", Request{Host: "ssh.example.net", Port: 22, Scheme: ""}, "ssh.example.net:22", "", ""},
		{"443 of a rule for 22", Request{Host: "ssh.example.net", Port: 443, Scheme: ""}, "", `"ssh.example.net" is listed for port 22, not for 443`, "ssh.example.net"},
		{"http", Request{Host: "plain.example", Port: 80, Scheme: "http"}, "http://plain.example", "", ""},
		{"http of an https rule", Request{Host: "example.com", Port: 80, Scheme: "http"}, "", `"example.com" is listed for port 443, not for 80`, "http://example.com"},
		{"both", Request{Host: "both.example", Port: 80, Scheme: "http"}, "http://both.example", "", ""},
		{"plain http on 443", Request{Host: "example.com", Port: 443, Scheme: "http"}, "", "plain HTTP is not allowed on port 443", ""},
		{"international", Request{Host: "BÜCHER.example", Port: 443, Scheme: ""}, "bücher.example", "", ""},
		{"its ASCII form", Request{Host: "xn--bcher-kva.example", Port: 443, Scheme: ""}, "bücher.example", "", ""},
		{"localhost", Request{Host: "localhost", Port: 443, Scheme: ""}, "", "localhost is the sandbox itself, which is reached without the proxy", ""},
		{"port 0", Request{Host: "example.com", Port: 0, Scheme: ""}, "", "there is no port 0", ""},
		{"address", Request{Host: "127.0.0.1", Port: 443, Scheme: ""}, "", `host "127.0.0.1": it is an IP address, and only names can be listed`, ""},
		{"nothing", Request{Host: "", Port: 443, Scheme: ""}, "", `host "": it is empty`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := set.Decide(tt.q)
			if d.Rule.Text != tt.rule || d.Reason != tt.reason || d.Fix != tt.fix || d.Allowed() != (tt.rule != "") {
				t.Errorf("Decide(%+v) = %+v", tt.q, d)
			}
			if d.Fix != "" && !mustParse(t, d.Fix).Decide(tt.q).Allowed() {
				t.Errorf("the fix %q does not allow %+v", d.Fix, tt.q)
			}
		})
	}
	for name, empty := range map[string]*Set{"nil": nil, "empty": NewSet()} {
		if empty.Decide(Request{Host: "example.com", Port: 443}).Allowed() {
			t.Errorf("the %s set allows", name)
		}
		if _, ok := empty.Lists("example.com"); ok || len(empty.Rules()) != 0 {
			t.Errorf("the %s set lists", name)
		}
	}
	if _, ok := set.Lists("ssh.example.net"); !ok {
		t.Error("a name listed on another port is not listed")
	}
	if got := set.Rules()[0].Cite(); got != "example.com (test, line 2)" {
		t.Errorf("cited as %q", got)
	}
}

func TestSplitAuthority(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		host string
		port uint16
		why  error
	}{
		{"example.com:443", "example.com", 443, nil},
		{"Example.com.:8443", "example.com", 8443, nil},
		{"example.com", "example.com", 80, nil},
		{"example.com:", "", 0, ErrRulePort},
		{"example.com:00443", "", 0, ErrRulePort},
		{"example.com:443:443", "", 0, ErrHostCharacter},
		{"[::1]:443", "", 0, ErrHostAddress},
		{"::1", "", 0, ErrHostAddress},
		{"127.0.0.1:443", "", 0, ErrHostAddress},
		{"a@example.com:443", "", 0, ErrHostUserinfo},
		{":443", "", 0, ErrHostEmpty},
	} {
		host, port, err := SplitAuthority(tt.in, 80)
		if !errors.Is(err, tt.why) || err == nil && (host != tt.host || port != tt.port) {
			t.Errorf("SplitAuthority(%q) = %q, %d, %v", tt.in, host, port, err)
		}
	}
	if _, _, err := SplitAuthority("example.com", 0); !errors.Is(err, ErrRulePort) {
		t.Errorf("no port where one must be: %v", err)
	}
}

func FuzzSplitAuthority(f *testing.F) {
	for _, s := range []string{"example.com:443", "example.com", "[::1]:443", "a@b:1", "EXAMPLE.com.:8443", ":", "a:", "1.2.3.4:5", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, port, err := SplitAuthority(in, 80)
		if err != nil {
			return
		}
		h, p, err := SplitAuthority(fmt.Sprintf("%s:%d", host, port), 0)
		if err != nil || h != host || p != port || port == 0 {
			t.Errorf("%q gives %q and %d, and those %q and %d: %v", in, host, port, h, p, err)
		}
	})
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ addr, kind string }{
		{"8.8.4.4", ""},
		{"93.184.215.14", ""},
		{"223.255.255.254", ""},
		{"100.63.255.255", ""},
		{"100.128.0.0", ""},
		{"172.15.255.255", ""},
		{"172.32.0.0", ""},
		{"198.17.255.255", ""},
		{"198.20.0.0", ""},
		{"169.253.255.255", ""},
		{"2606:2800:21f::1", ""},
		{"2a00:1450:4001::1", ""},
		{"64:ff9b::808:404", ""},
		{"0.0.0.0", "unspecified"},
		{"0.1.2.3", "this network"},
		{"10.0.0.1", "private"},
		{"172.16.0.1", "private"},
		{"172.31.255.255", "private"},
		{"192.168.1.1", "private"},
		{"127.0.0.1", "loopback"},
		{"127.255.255.254", "loopback"},
		{"169.254.169.254", "cloud metadata"},
		{"169.254.1.1", "link-local"},
		{"100.100.100.200", "cloud metadata"},
		{"168.63.129.16", "cloud metadata"},
		{"192.0.0.192", "cloud metadata"},
		{"192.0.0.8", "IETF"},
		{"100.64.0.1", "carrier-grade"},
		{"100.127.255.255", "carrier-grade"},
		{"192.0.2.1", "documentation"},
		{"198.51.100.1", "documentation"},
		{"203.0.113.1", "documentation"},
		{"198.18.0.1", "benchmarking"},
		{"198.19.255.255", "benchmarking"},
		{"192.88.99.1", "6to4 relay"},
		{"224.0.0.1", "multicast"},
		{"239.255.255.255", "multicast"},
		{"240.0.0.1", "reserved"},
		{"255.255.255.255", "broadcast"},
		{"::", "unspecified"},
		{"::1", "loopback"},
		{"::ffff:8.8.8.8", "IPv4-mapped"},
		{"::8.8.8.8", "IPv4-compatible"},
		{"::ffff:0:8.8.8.8", "IPv4-translated"},
		{"64:ff9b::127.0.0.1", "NAT64 of 127.0.0.1: loopback"},
		{"64:ff9b::a9fe:a9fe", "NAT64 of 169.254.169.254: cloud metadata"},
		{"64:ff9b:0:0:1::1", "not assigned"},
		{"64:ff9b:1::808:808", "local-use NAT64"},
		{"100::1", "discard"},
		{"2001::1", "Teredo"},
		{"2001:2::1", "IETF"},
		{"2001:db8::1", "documentation"},
		{"2002:7f00:1::", "6to4"},
		{"3fff::1", "documentation"},
		{"5f00::1", "segment"},
		{"fc00::1", "unique local"},
		{"fd12::1", "unique local"},
		{"fd00:ec2::254", "cloud metadata"},
		{"fe80::1", "link-local"},
		{"fe80::1%eth0", "zone"},
		{"fec0::1", "site-local"},
		{"ff02::1", "multicast"},
		{"2600::5efe:10.0.0.1", "ISATAP"},
		{"2600::200:5efe:10.0.0.1", "ISATAP"},
		{"4000::1", "not assigned"},
		{"1000::1", "not assigned"},
	} {
		err := CheckAddress(netip.MustParseAddr(tt.addr))
		e, ok := errors.AsType[*AddressError](err)
		switch {
		case tt.kind == "" && err != nil:
			t.Errorf("%s: %v", tt.addr, err)
		case tt.kind != "" && (!ok || !strings.Contains(e.Kind, tt.kind)):
			t.Errorf("%s: %v, want %q", tt.addr, err, tt.kind)
		}
	}
	if CheckAddress(netip.Addr{}) == nil {
		t.Error("no address is an address")
	}
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	const value = "s3cr3t-value"
	type holder struct {
		Public  Secret
		private Secret
	}
	s := NewSecret(value)
	h := holder{s, s}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "holder", h)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "holder", h)
	data, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	fmt.Fprint(&seen, log.String(), string(data), string(text), s.String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		fmt.Fprintf(&seen, verb+verb+verb, s, &s, h)
	}
	for _, leak := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
		if strings.Contains(seen.String(), leak) {
			t.Errorf("the secret shows as %q", leak)
		}
	}
	if s.Reveal() != value || s.Empty() || !(Secret{}).Empty() {
		t.Error("the secret is not what it was made of")
	}
	if h.private.Reveal() != value {
		t.Error("a copy differs")
	}
}
