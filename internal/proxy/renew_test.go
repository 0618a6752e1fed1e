package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"agentprocess/internal/policy"
)

// A secret that is renewed counts for the next request, one that is taken back
// for none; a request under way keeps its own, and all that there were are masked.
func TestRenewedSecrets(t *testing.T) {
	const second = "sk-second-77aa"
	arrived, goOn := make(chan string, 1), make(chan struct{})
	g := openedGateway(t, hostAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			arrived <- r.Header.Get("Authorization")
			<-goOn
		}
		_, _ = fmt.Fprintf(w, "%t %t, and there were %s and %s", r.Header.Get("Authorization") == "Bearer "+realToken, r.Header.Get("Authorization") == "Bearer "+second, realToken, second)
	}))
	for proto, c := range httpClients(t, g) {
		ask := func(path string) (reply, string) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+placeholder)
			return do(t, c, req)
		}
		const masked = ", and there were ************ and **************"
		if err := g.Renew(placeholder, policy.NewSecret(realToken)); err != nil {
			t.Fatal(err)
		}
		waited := make(chan string, 1)
		go func() {
			_, body := ask("/wait")
			waited <- body
		}()
		if got := <-arrived; got != "Bearer "+realToken {
			t.Errorf("%s: %q", proto, got)
		}
		if err := g.Renew(placeholder, policy.NewSecret(second)); err != nil {
			t.Fatal(err)
		}
		if _, body := ask("/"); body != "false true"+masked {
			t.Errorf("%s: after it was renewed: %s", proto, body)
		}
		goOn <- struct{}{}
		if body := <-waited; body != "true false"+masked {
			t.Errorf("%s: under way while it was renewed: %s", proto, body)
		}
		if err := g.Renew(placeholder, policy.Secret{}); err != nil {
			t.Fatal(err)
		}
		if res, body := ask("/"); res.StatusCode != http.StatusForbidden || res.Header.Get(DeniedHeader) == "" || !strings.Contains(body, "taken back") {
			t.Errorf("%s: taken back: %s %s", proto, res.Status, body)
		}
		// What is taken back opens the host to nobody else's.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer sk-attacker")
		if res, _ := do(t, c, req); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: another's credential: %s", proto, res.Status)
		}
		if err := g.Renew(placeholder, policy.NewSecret(realToken)); err != nil {
			t.Fatal(err)
		}
		if _, body := ask("/"); body != "true false"+masked {
			t.Errorf("%s: given again: %s", proto, body)
		}
	}
	if err := g.Renew("another", policy.NewSecret(second)); err == nil {
		t.Error("a placeholder that nobody has is renewed")
	}
	if err := g.Renew(placeholder, policy.NewSecret("line\r\nbreak: yes")); err == nil || strings.Contains(err.Error(), ": yes") {
		t.Errorf("a secret that cannot be sent: %v", err)
	}
	// However often it is renewed, what is masked is bounded.
	for i := range 100 {
		if err := g.Renew(placeholder, policy.NewSecret(fmt.Sprintf("sk-number-%04d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(g.credentialsOf("example.com")[0].masked.all()); n > maxEchoes {
		t.Errorf("%d forms are masked", n)
	}
}
