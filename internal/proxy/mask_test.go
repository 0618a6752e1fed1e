package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"agentprocess/internal/policy"
)

// awkward has every character that one of the escapes changes.
const awkward = `s3cr"t/+&<key>~=é`

// boundGateway opens TLS to example.com, which takes a secret of every kind.
func boundGateway(tb testing.TB, handler http.HandlerFunc) *gateway {
	tb.Helper()
	up := hostAPI(tb, handler)
	rules, err := policy.ParseRules("test", "example.com/private/** GET secret=pat")
	if err != nil {
		tb.Fatal(err)
	}
	return newGateway(tb, "example.com", func(c *Config) {
		to(tb, c, "example.com", up.Listener.Addr().String())
		c.UpstreamRoots = upstreamRoots(up)
		c.Credentials = []Credential{
			{Host: "example.com", Header: "Authorization", User: "git", Placeholder: placeholder, Secret: policy.NewSecret(realToken)},
			{Host: "example.com", Header: "Private-Token", Placeholder: placeholder, Secret: policy.NewSecret(realToken), Rules: rules},
			{Host: "example.com", Query: "sesame", Placeholder: placeholder, Secret: policy.NewSecret(awkward)},
		}
	})
}

// carried says which secrets a request carries.
func carried(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	_, _ = fmt.Fprintf(w, "%t %t %t", user == "git" && password == realToken, r.Header.Get("Private-Token") == realToken, r.URL.Query().Get("sesame") == awkward)
}

func TestSecretsOfEveryKind(t *testing.T) {
	g := boundGateway(t, carried)
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for proto, c := range httpClients(t, g) {
		for _, tt := range []struct{ name, method, path, header, value, want string }{
			{"basic", "GET", "/", "Authorization", basic("git", placeholder), "true false false"},
			{"basic, another user", "GET", "/", "Authorization", basic("root", placeholder), ""},
			{"basic, another password", "GET", "/", "Authorization", basic("git", "attacker"), ""},
			{"bearer where it is basic", "GET", "/", "Authorization", "Bearer " + placeholder, ""},
			{"header", "GET", "/private/x", "Private-Token", placeholder, "false true false"},
			{"header, other value", "GET", "/private/x", "Private-Token", "attacker", ""},
			{"header, CGI spelling", "GET", "/private/x", "Private_Token", "attacker", ""},
			{"header, other path", "GET", "/public", "Private-Token", placeholder, ""},
			{"header, path in dots", "GET", "/private/../public", "Private-Token", placeholder, ""},
			{"header, path in escaped dots", "GET", "/private/%2e%2e/public", "Private-Token", placeholder, ""},
			{"header, other method", "DELETE", "/private/x", "Private-Token", placeholder, ""},
			{"query", "GET", "/?a=1&sesame=" + placeholder + "&b=2", "Accept", "*/*", "false false true"},
			{"query, escaped name", "GET", "/?%73esame=" + placeholder, "Accept", "*/*", "false false true"},
			{"query, other value", "GET", "/?sesame=attacker", "Accept", "*/*", ""},
			{"query, in capitals", "GET", "/?SESAME=attacker", "Accept", "*/*", ""},
			{"query, twice", "GET", "/?sesame=" + placeholder + "&sesame=attacker", "Accept", "*/*", ""},
			{"query, semicolon", "GET", "/?sesame=" + placeholder + ";a=b", "Accept", "*/*", ""},
			{"none", "GET", "/private/x", "Accept", "*/*", "false false false"},
		} {
			t.Run(proto+" "+tt.name, func(t *testing.T) {
				req, err := http.NewRequestWithContext(t.Context(), tt.method, "https://example.com"+tt.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header[tt.header] = []string{tt.value}
				res, body := do(t, c, req)
				if tt.want != "" && body != tt.want {
					t.Errorf("%s: %s", res.Status, body)
				}
				if tt.want == "" && (res.StatusCode != http.StatusForbidden || res.Header.Get(DeniedHeader) == "" || strings.Contains(body, "attacker")) {
					t.Errorf("%s: %s", res.Status, body)
				}
			})
		}
	}
}

// A host that sends a secret back, in whatever form and way, does not get it
// into the sandbox.
func TestReflectedSecretsAreMasked(t *testing.T) {
	forms := map[string]string{
		"as it is": realToken, "in base64": base64.StdEncoding.EncodeToString([]byte("xx" + realToken + "yy")),
		"after a user": base64.StdEncoding.EncodeToString([]byte("git:" + realToken)), "for a URL": url.QueryEscape(awkward),
		"for JSON": `{"a":"s3cr\"t/+\u0026\u003ckey\u003e~=é"}`, "awkward": awkward,
	}
	g := boundGateway(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("the host was asked for a part or a coding: %v", r.Header)
		}
		text := "<" + forms[r.URL.Query().Get("form")] + ">"
		w.Header().Set("X-Echo", text)
		switch r.URL.Path {
		case "/whole":
			_, _ = io.WriteString(w, text)
		case "/pieces":
			for i := range len(text) {
				_, _ = io.WriteString(w, text[i:i+1])
				_ = http.NewResponseController(w).Flush()
			}
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, text)
			_ = z.Close()
		case "/unknown":
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, text)
		}
	})
	for proto, c := range httpClients(t, g) {
		for name, form := range forms {
			for _, path := range []string{"/whole", "/pieces", "/gzip", "/unknown"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com"+path+"?form="+url.QueryEscape(name), nil)
				if err != nil {
					t.Fatal(err)
				}
				req.SetBasicAuth("git", placeholder)
				req.Header.Set("Accept-Encoding", "gzip, br")
				req.Header.Set("Range", "bytes=0-3")
				res, body := do(t, c, req)
				if path == "/unknown" {
					if res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "compressed") {
						t.Errorf("%s, %s: %s %q", proto, name, res.Status, body)
					}
					continue
				}
				if all := body + res.Header.Get("X-Echo"); leaks(all) {
					t.Errorf("%s, %s, %s: %q", proto, path, name, all)
				}
				if len(body) != len(form)+2 || body[0] != '<' || body[len(body)-1] != '>' || !strings.Contains(body, "****") {
					t.Errorf("%s, %s, %s: %q is not as long as it was", proto, path, name, body)
				}
			}
		}
	}
}

// leaks reports whether one of the secrets can be had from text.
func leaks(text string) bool {
	for _, secret := range []string{realToken, awkward} {
		inner := text[strings.Index(text, "<")+1:]
		inner, _, _ = strings.Cut(inner, ">")
		decoded, err := base64.StdEncoding.DecodeString(inner)
		unescaped, _ := url.QueryUnescape(inner)
		if strings.Contains(text, secret) || strings.Contains(unescaped, secret) || err == nil && bytes.Contains(decoded, []byte(secret)) {
			return true
		}
	}
	return false
}

func echoedOf(form string) *echoed {
	list := &echoed{}
	list.add([]string{form})
	return list
}

// What cannot become a secret is not held back.
func TestMaskerHoldsNothingBack(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	res := &http.Response{Body: r, Header: http.Header{}, Request: httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)}
	if err := shroud(res, []Credential{{masked: echoedOf("secret-secret")}}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, step := range []struct{ in, out string }{
		{"data: 1\n\n", "data: 1\n\n"}, {"an s", "an "}, {"nail\n", "snail\n"}, {"x secret-", "x "}, {"secret-secret", "*************-"}, {"!", "secret!"},
	} {
		go func() { _, _ = io.WriteString(w, step.in) }()
		n, err := io.ReadAtLeast(res.Body, buf, len(step.out))
		if err != nil || string(buf[:n]) != step.out {
			t.Fatalf("%q gave %q, %v, want %q", step.in, buf[:n], err, step.out)
		}
	}
	_ = w.CloseWithError(errors.New("cut"))
	if _, err := res.Body.Read(buf); err == nil || err.Error() != "cut" {
		t.Errorf("err = %v", err)
	}
}

func FuzzMasker(f *testing.F) {
	f.Add([]byte("abc"), []byte("xabcabcx"))
	f.Add([]byte("aabaab"), []byte("aabaabaabaab"))
	f.Add([]byte(awkward), []byte("a"+awkward+awkward))
	f.Fuzz(func(t *testing.T, secret, text []byte) {
		if len(secret) < shortest || len(secret) > 100 || bytes.Contains(secret, []byte("*")) {
			return // no secret that is kept
		}
		var outputs [][]byte
		for _, src := range []io.Reader{bytes.NewReader(text), iotest.OneByteReader(bytes.NewReader(text)), iotest.DataErrReader(bytes.NewReader(text))} {
			m := &masker{src: io.NopCloser(src), lists: []*echoed{echoedOf(string(secret))}}
			out, err := io.ReadAll(m)
			if err != nil || len(out) != len(text) || bytes.Contains(out, secret) {
				t.Fatalf("%q in %q gave %q, %v", secret, text, out, err)
			}
			outputs = append(outputs, out)
		}
		if want := bytes.ReplaceAll(text, secret, bytes.Repeat([]byte("*"), len(secret))); !bytes.Equal(outputs[0], want) || !bytes.Equal(outputs[1], want) || !bytes.Equal(outputs[2], want) {
			t.Fatalf("%s gave %q, want %q", hex.EncodeToString(secret), outputs, want)
		}
	})
}
