package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/secret"
)

// tokens is a service that gives access tokens for refresh tokens, each of which
// is good once, and an API that takes the newest access token until it expires.
type tokens struct {
	mu                    sync.Mutex
	issued, refreshed     int
	expired               bool
	invalid, unauthorized int
}

func (s *tokens) access() string  { return fmt.Sprintf("access-token-%04d", s.issued) }
func (s *tokens) refresh() string { return fmt.Sprintf("refresh-token-%04d", s.refreshed) }

// ServeHTTP implements http.Handler.
func (s *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/token" {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != s.refresh() {
			s.invalid++
			http.Error(w, "invalid_grant", http.StatusBadRequest)
			return
		}
		s.refreshed++
		s.issued++
		s.expired = false
		fmt.Fprintf(w, "%s %s", s.access(), s.refresh())
		return
	}
	if s.expired || r.Header.Get("Authorization") != "Bearer "+s.access() {
		s.unauthorized++
		http.Error(w, "expired", http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(w, "hello, %s", r.Header.Get("Authorization"))
}

// helper is what a person has on the host to print a token that works: it
// refreshes when the one it has does not, and knows of nobody else who does.
const helper = `
read access refresh <"$STORE"
if ! curl -sf -o /dev/null -H "Authorization: Bearer $access" "$API/"; then
	curl -sf -d "$refresh" "$API/token" >"$STORE.new" || exit 1
	sleep 0.1 # which makes a race of it for whoever is not alone
	mv "$STORE.new" "$STORE"
	read access refresh <"$STORE"
fi
echo "$access"
`

// run1 is one agent's gateway, and what it tells.
type run1 struct {
	client      *http.Client
	placeholder string
	mu          sync.Mutex
	said        []string
}

func (r *run1) record(p audit.Payload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n, ok := p.(audit.Notice); ok {
		r.said = append(r.said, n.Text)
	}
}

func (r *run1) notices() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.said, "\n")
}

// status asks the API once, as the agent would.
func (r *run1) status(t *testing.T) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.placeholder)
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// becomes waits until the API answers the agent with a status.
func (r *run1) becomes(t *testing.T, want int) {
	t.Helper()
	end := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got, body := r.status(t)
		if got == want {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Errorf("it stays %d %s, want %d; %s", got, body, want, r.notices())
			return
		}
	}
}

// startRun opens a gateway for an agent that has a secret.
func startRun(t *testing.T, s *Service, up *httptest.Server, name string) *run1 {
	t.Helper()
	c := &checked{}
	if err := s.bindSecrets(t.Context(), StartOptions{Egress: Egress{Secrets: []string{name}}}, c); err != nil {
		t.Fatal(err)
	}
	r := &run1{placeholder: c.credentials[0].Placeholder}
	_, target, err := proxy.ParseResolve("api.example.com=" + up.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(up.Certificate())
	var renewals *renewals
	server, err := proxy.New(proxy.Config{
		Policy: policy.NewSet(c.rules), Credentials: c.credentials, Resolve: map[string]proxy.Target{"api.example.com": target}, UpstreamRoots: roots,
		Record: func(q audit.Request) { renewals.saw(q) },
	})
	if err != nil {
		t.Fatal(err)
	}
	renewals = newRenewals(c.sources, server.Renew, r.record, time.Now)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(ctx, sandbox.Sockets{Proxy: l}); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() { renewals.watch(ctx) })
	inside := x509.NewCertPool()
	inside.AppendCertsFromPEM(server.CAPEM())
	tr := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()}),
		TLSClientConfig: &tls.Config{RootCAs: inside, MinVersion: tls.VersionTLS12},
	}
	r.client = &http.Client{Transport: tr}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		cancel()
		wg.Wait()
	})
	return r
}

// TestManyAgentsOneSubscription_T_A1: ten agents across two lifetimes of an
// access token whose refresh token is good once. Nobody refreshes twice, nobody
// is logged out, the person on the host neither, and no agent has any of it.
func TestManyAgentsOneSubscription_T_A1(t *testing.T) {
	api := &tokens{}
	up := httptest.NewTLSServer(api)
	t.Cleanup(up.Close)
	plain := httptest.NewServer(api)
	t.Cleanup(plain.Close)
	dir := t.TempDir()
	store, script := filepath.Join(dir, "store"), filepath.Join(dir, "helper")
	if err := errors.Join(os.WriteFile(store, []byte(api.access()+" "+api.refresh()+"\n"), 0o600), os.WriteFile(script, []byte(helper), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := newService(t, &host{})
	s.Environ = append(s.Environ, "PATH="+os.Getenv("PATH"), "STORE="+store, "API="+plain.URL)
	named := secret.Named{Name: "token", Hosts: []string{"api.example.com"}, Way: secret.WayBearer, Origin: secret.OriginCommand, From: "sh " + script}
	if err := s.SecretAdd(t.Context(), named, nil); err != nil {
		t.Fatal(err)
	}
	agents := make([]*run1, 10)
	for i := range agents {
		agents[i] = startRun(t, s, up, "token")
	}
	for lifetime := range 3 {
		if lifetime > 0 {
			api.mu.Lock()
			api.expired = true
			api.mu.Unlock()
		}
		var wg sync.WaitGroup
		for _, a := range agents {
			wg.Go(func() { a.becomes(t, http.StatusOK) })
		}
		wg.Wait()
	}
	for i, a := range agents {
		if status, body := a.status(t); status != http.StatusOK || strings.Contains(body, "-token-") {
			t.Errorf("agent %d: %d %s", i, status, body)
		}
	}
	// The person's own session is the one that everybody uses.
	value, err := s.secretValue(t.Context(), named)
	api.mu.Lock()
	defer api.mu.Unlock()
	if err != nil || value.Reveal() != api.access() {
		t.Errorf("on the host: %v", err)
	}
	if api.invalid != 0 || api.refreshed != 2 {
		t.Errorf("%d times invalid_grant, refreshed %d times in two lifetimes", api.invalid, api.refreshed)
	}
}

// What a person replaces on the host counts in runs that go on; what cannot be
// read changes nothing; what is taken back, or is for other hosts now, is used
// no more.
func TestReplacedSecretsCount(t *testing.T) {
	api := &tokens{}
	up := httptest.NewTLSServer(api)
	t.Cleanup(up.Close)
	s := newService(t, &host{})
	file := filepath.Join(t.TempDir(), "token")
	put := func(n secret.Named, value string) {
		t.Helper()
		n.Name, n.Way = "token", secret.WayBearer
		if len(n.Hosts) == 0 {
			n.Hosts = []string{"api.example.com"}
		}
		if n.Origin == secret.OriginFile {
			if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
				t.Fatal(err)
			}
			n.From = file
		}
		if err := s.SecretAdd(t.Context(), n, strings.NewReader(value)); err != nil {
			t.Fatal(err)
		}
	}
	stored, inFile := secret.Named{Origin: secret.OriginStored}, secret.Named{Origin: secret.OriginFile}
	put(stored, "out-of-date")
	a := startRun(t, s, up, "token")
	if status, _ := a.status(t); status != http.StatusUnauthorized {
		t.Fatalf("with a wrong token: %d", status)
	}
	put(stored, api.access())
	a.becomes(t, http.StatusOK)
	// Damaged on its way: the one before goes on.
	if err := os.WriteFile(s.secrets().NamedFile("token"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitNotice(t, a, "stays as it is")
	a.becomes(t, http.StatusOK)
	// Taken back, and given again.
	if err := s.SecretRemove("token"); err != nil {
		t.Fatal(err)
	}
	a.becomes(t, http.StatusForbidden)
	put(inFile, api.access())
	a.becomes(t, http.StatusOK)
	// For another host, which this run must not learn by sending it here.
	put(secret.Named{Origin: secret.OriginStored, Hosts: []string{"elsewhere.example"}}, "for-elsewhere-only")
	a.becomes(t, http.StatusForbidden)
	if said := a.notices(); strings.Contains(said, "token-0") || strings.Contains(said, "elsewhere-only") || !strings.Contains(said, "for other hosts now") {
		t.Errorf("it said %s", said)
	}
	// A file's content alone.
	put(inFile, "out-of-date")
	b := startRun(t, s, up, "token")
	if err := os.WriteFile(file, []byte(api.access()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.becomes(t, http.StatusOK)
}

func waitNotice(t *testing.T, r *run1, text string) {
	t.Helper()
	end := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(r.notices(), text) {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it said %s", r.notices())
		}
	}
}

// A host that refuses again and again, which is easily had from inside, makes a
// person's command run a few times and no more.
func TestRefusalsRunACommandSeldom(t *testing.T) {
	runs, now := 0, time.Now()
	s := &source{what: "secret", command: true, get: func(context.Context) (policy.Secret, error) {
		runs++
		return policy.NewSecret("always-the-same"), nil
	}, value: policy.NewSecret("always-the-same")}
	r := newRenewals([]*source{s}, nil, func(audit.Payload) {}, func() time.Time { return now })
	for range 24 * 3600 {
		r.again(t.Context(), s, refusal{began: now})
		now = now.Add(time.Second)
	}
	if runs < 5 || runs > 40 {
		t.Errorf("it ran %d times in a day", runs)
	}
}

// A request that was refused with the secret before says nothing of the one that
// came since, however long it waited to be looked at.
func TestRefusalOfTheOneBefore(t *testing.T) {
	runs, now := 0, time.Now()
	s := &source{what: "secret", command: true, hosts: []string{"api.example.com"}, get: func(context.Context) (policy.Secret, error) {
		runs++
		return policy.NewSecret("the-same"), nil
	}, value: policy.NewSecret("the-same")}
	r := newRenewals([]*source{s}, nil, func(audit.Payload) {}, func() time.Time { return now })
	r.saw(audit.Request{Host: "api.example.com", Status: http.StatusUnauthorized, Verdict: audit.Allow, Duration: time.Millisecond})
	s.since = now // it was renewed while the request waited
	now = now.Add(time.Second)
	if r.again(t.Context(), s, <-r.refused); runs != 0 || s.wait != 0 {
		t.Errorf("it ran %d times, and not again for %s", runs, s.wait)
	}
}
