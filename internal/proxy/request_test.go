package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"agentprocess/internal/policy"
)

// judged opens TLS to example.com because its rules judge requests.
func judged(t *testing.T, rules string) *gateway {
	t.Helper()
	up := hostAPI(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %d %v", r.Method, r.URL.RequestURI(), len(body), err)
	})
	return newGateway(t, rules, func(c *Config) {
		to(t, c, "example.com", up.Listener.Addr().String())
		to(t, c, "a.example.com", up.Listener.Addr().String())
		c.UpstreamRoots = upstreamRoots(up)
	})
}

// Requests inside TLS are judged by method, path and what git does, in both
// versions of HTTP, and the body of an LFS batch arrives whole.
func TestRequestsAreJudged(t *testing.T) {
	g := judged(t, "example.com/pkg/** GET\nexample.com/my-org/* git:read\ndeny example.com/pkg/secret/**")
	const up, down = `{"operation":"upload","objects":[]}`, `{"operation":"download","objects":[]}`
	for proto, c := range httpClients(t, g) {
		for _, tt := range []struct {
			method, path, header, body string
			status                     int
		}{
			{"GET", "/pkg/a", "", "", 200},
			{"HEAD", "/pkg/a", "", "", 200},
			{"POST", "/pkg/a", "", "x", 403},
			{"PUT", "/pkg/a", "", "x", 403},
			{"GET", "/pkg/a", "X-HTTP-Method-Override", "", 403},
			{"GET", "/pkg/a", "X_Method_Override", "", 403},
			{"GET", "/pkg/../my-org/x", "", "", 403},
			{"GET", "/pkg/%2e%2e/other", "", "", 403},
			{"GET", "/pkg/@scope%2Fname", "", "", 200},
			{"GET", "/pkg/..%2fother", "", "", 403},
			{"GET", "/pkg/%252e%252e/other", "", "", 403},
			{"GET", "/pkg/secret/x", "", "", 403},
			{"GET", "/pkg/SECRET/x", "", "", 403},
			{"GET", "/pkg/secret%2fx", "", "", 403},
			{"GET", "/other", "", "", 403},
			{"GET", "/my-org/r.git/info/refs?service=git-upload-pack", "", "", 200},
			{"POST", "/my-org/r.git/git-upload-pack", "", "want", 200},
			{"GET", "/my-org/r.git/info/refs?service=git-receive-pack", "", "", 403},
			{"GET", "/my-org/r.git/info/refs?service=git-upload-pack&service=git-receive-pack", "", "", 403},
			{"POST", "/my-org/r.git/git-receive-pack", "", "pack", 403},
			{"GET", "/other-org/r/info/refs?service=git-upload-pack", "", "", 403},
			{"POST", "/my-org/r/info/lfs/objects/batch", "", down, 200},
			{"POST", "/my-org/r/info/lfs/objects/batch", "", up, 403},
			{"POST", "/my-org/r/info/lfs/objects/batch", "", `{"operation":"download","operation":"upload"}`, 403},
			{"POST", "/my-org/r/info/lfs/objects/batch", "", `{"Operation":"upload","operation":"download"}`, 403},
			{"POST", "/my-org/r/info/lfs/objects/batch", "Content-Encoding", down, 403},
			{"POST", "/my-org/r/info/lfs/objects/batch", "", strings.Repeat(" ", maxBatch) + down, 403},
			{"GET", "/my-org/r/releases/download/v1/a.tgz", "", "", 200},
			{"POST", "/my-org/r/issues", "", "text", 403},
		} {
			t.Run(proto+" "+tt.method+" "+tt.path+" "+tt.header, func(t *testing.T) {
				req, err := http.NewRequestWithContext(t.Context(), tt.method, "https://example.com"+tt.path, strings.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				if tt.header != "" {
					req.Header.Set(tt.header, "DELETE")
				}
				res, body := do(t, c, req)
				if res.StatusCode != tt.status {
					t.Errorf("%s: %s", res.Status, body)
				}
				if want := fmt.Sprintf("%s %s %d <nil>", tt.method, tt.path, len(tt.body)); tt.status == 200 && tt.method != http.MethodHead && body != want {
					t.Errorf("the host saw %q, want %q", body, want)
				}
				if tt.status == 403 && tt.method != http.MethodHead && res.Header.Get(DeniedHeader) == "" {
					t.Error("the denial has no id")
				}
			})
		}
	}
}

// A wildcard's hosts are opened too; one that no rule lists is not.
func TestHostsBelowAWildcardAreJudged(t *testing.T) {
	g := judged(t, "*.example.com GET")
	c := g.client(t, g.roots(t))
	for method, want := range map[string]int{"GET": 200, "POST": 403} {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://a.example.com/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, body := do(t, c, req); res.StatusCode != want {
			t.Errorf("%s gives %s: %s", method, res.Status, body)
		}
	}
	if g.authority.vouches("example.com") || g.authority.vouches("other.example") {
		t.Error("it vouches for what no rule lists")
	}
}

// A rule that judges requests cuts the tunnel in which they would not be seen,
// and a host that cannot be opened any more is refused, not tunnelled.
func TestATunnelIsCutWhenItsRequestsAreToBeJudged(t *testing.T) {
	g := judged(t, "example.com")
	conn, _, _ := g.connect(t, "example.com:443")
	g.SetPolicy(rulesOf(t, "example.com GET"))
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Log(err) // it is over either way
	}
	c := g.client(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := c.Do(req); err == nil {
		t.Errorf("a host whose TLS cannot be opened answers %s", res.Status)
		discard(res.Body.Close())
	}
	g.records.next(t, denials)
}

// A rule that may be used once lets one request pass, and the one after it is
// denied with the reason.
func TestARuleIsUsedUp(t *testing.T) {
	g := judged(t, "example.com GET max-requests=2\nexample.com/more max-requests=1")
	c := g.client(t, g.roots(t))
	for i, tt := range []struct {
		path   string
		status int
	}{{"/a", 200}, {"/more", 200}, {"/b", 403}, {"/more", 200}, {"/more", 403}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com"+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, body := do(t, c, req)
		if res.StatusCode != tt.status || tt.status == 403 && !strings.Contains(body, "budget is spent") {
			t.Errorf("request %d, %s: %s: %s", i, tt.path, res.Status, body)
		}
	}
}

// What is neither TLS nor HTTP passes on port 443 only where a rule says tcp.
func TestRawOn443(t *testing.T) {
	for rules, want := range map[string]bool{"example.com": false, "example.com tcp": true, "example.com\nexample.com tcp": true} {
		t.Run(rules, func(t *testing.T) {
			l := listen(t)
			go echoEach(l)
			g := newGateway(t, rules, func(c *Config) { to(t, c, "example.com", l.Addr().String()) })
			conn, _, _ := g.connect(t, "example.com:443")
			if _, err := io.WriteString(conn, "SSH-2.0-x\n"); err != nil {
				t.Fatal(err)
			}
			if line, _ := bufio.NewReader(conn).ReadString('\n'); (line == "SSH-2.0-x\n") != want {
				t.Errorf("got %q, want passing %t", line, want)
			}
		})
	}
}

// A rule for one scheme is not one for another.
func TestSchemeOfATunnel(t *testing.T) {
	up := hostAPI(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	g := newGateway(t, "http://example.com:8443", func(c *Config) { to(t, c, "example.com", up.Listener.Addr().String()) })
	conn, _, _ := g.connect(t, "example.com:8443")
	if err := tls.Client(conn, &tls.Config{ServerName: "example.com", RootCAs: upstreamRoots(up), MinVersion: tls.VersionTLS12}).HandshakeContext(t.Context()); err == nil {
		t.Error("TLS passes under a rule for plain HTTP")
	}
	if q := g.records.next(t, denials); q.Fix != "https://example.com:8443" {
		t.Errorf("the fix is %q", q.Fix)
	}
}

func TestTopLevel(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"operation":"upload"}`:                        "upload",
		`{"a":{"operation":"x"},"operation":"d","b":1}`: "d",
		`{"operation":"a","operation":"b"}`:             "",
		`{"OPERATION":"a"}`:                             "",
		`{"operation":1}`:                               "",
		`["operation"]`:                                 "",
		`{"operation":"a"} {}`:                          "",
		`{"operation":"a"`:                              "",
		``:                                              "",
	} {
		if got := topLevel([]byte(body), "operation"); got != want {
			t.Errorf("%s gives %q, want %q", body, got, want)
		}
	}
	if q := (policy.Request{Method: http.MethodPost, Path: "/a/info/lfs/objects/batch"}); !q.LFSBatch() {
		t.Error("a batch is none")
	}
}
