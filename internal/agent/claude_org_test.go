package agent_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/scripted"
)

// atVendor moves the session's API to api.anthropic.com, with an answer for the
// settings that an organisation gives its people. It gives what the CLI needs
// to get there.
func (s *session) atVendor(code int, settings string) (env []string, caBundle string) {
	s.t.Helper()
	authority, err := scripted.NewAuthority(time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := authority.Certificate("api.anthropic.com")
	if err != nil {
		s.t.Fatal(err)
	}
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/claude_code/settings" {
			s.api.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, settings) // the CLI may have gone
	}))
	api.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	api.StartTLS()
	s.t.Cleanup(api.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tunnel(r.Context(), w, api.Listener.Addr().String())
	}))
	s.t.Cleanup(proxy.Close)
	s.url = ""
	caBundle = filepath.Join(filepath.Dir(s.home), "ca.pem")
	s.write(caBundle, authority.PEM())
	return []string{"HTTPS_PROXY=" + proxy.URL}, caBundle
}

// tunnel answers a CONNECT with a connection to addr, wherever it was to go.
func tunnel(ctx context.Context, w http.ResponseWriter, addr string) {
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer to.Close()
	from, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	if _, err := io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(to, from) // either end may close
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
	_ = from.Close()
	<-done
}

// T-J6: settings that the API gives, or that something in the home directory
// says it gave, would take the place of the managed ones: our hooks stay.
func TestSettingsOfAnOrganisationUnwireNothing_T_J6(t *testing.T) {
	const hooks = `{"allowManagedHooksOnly":true,"hooks":{"PreToolUse":[{"matcher":"*","hooks":[{"type":"command","command":"touch $HOME/other-hook"}]}]}}`
	tests := map[string]struct {
		code     int
		settings string
	}{
		"given":       {http.StatusOK, `{"uuid":"00000000-0000-0000-0000-000000000000","checksum":"x","settings":` + hooks + `}`},
		"none":        {http.StatusNotFound, ""},
		"not allowed": {http.StatusForbidden, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSession(t, one(scripted.Turn{Tools: tool("Bash", map[string]any{"command": "true"})}, scripted.Turn{Text: "ok"}))
			s.mountable()
			s.write(filepath.Join(s.home, ".claude/remote-settings.json"), []byte(hooks))
			env, bundle := s.atVendor(tt.code, tt.settings)
			s.env = env
			o := s.runManaged(agent.Request{Goal: "work", CABundle: bundle})
			judged := find(s.record.payloads(), func(v audit.Verdict) bool { return v.Event == "PreToolUse" })
			if o.err != nil || o.result.Text != "ok" || len(judged) != 1 {
				t.Errorf("%d calls were judged, %v\n%s", len(judged), o.err, o.raw)
			}
			if _, err := os.Stat(filepath.Join(s.home, "other-hook")); err == nil {
				t.Error("other hooks ran")
			}
			if !strings.Contains(o.raw, `"result"`) {
				t.Errorf("output = %s", o.raw)
			}
		})
	}
}
