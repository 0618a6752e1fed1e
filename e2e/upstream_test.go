package e2e

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdCorporate serves the proxy of a network that wants a name and a password:
// corporate VARIABLE USER PASSWORD NAME=ADDRESS... It connects for CONNECT to
// the names it knows, and `sees corporate COUNT` counts what it was asked.
func cmdCorporate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: corporate VARIABLE USER PASSWORD NAME=ADDRESS...")
	}
	a := apisOf(ts)
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(args[1]+":"+args[2]))
	known := map[string]string{}
	for _, pair := range args[3:] {
		name, address, _ := strings.Cut(pair, "=")
		known[name+":443"] = address
	}
	a.listen(ts, "proxy.corp", args[0], false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.hits["corporate"] = append(a.hits["corporate"], r.Method+" "+r.Host)
		a.mu.Unlock()
		if r.Header.Get("Proxy-Authorization") != want {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		to, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", known[r.Host])
		if err != nil {
			http.Error(w, "it is not there", http.StatusBadGateway)
			return
		}
		defer to.Close()
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n") // a client that is gone shows below
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(to, rw); to.Close() })
		_, _ = io.Copy(conn, to)
		conn.Close()
		both.Wait()
	}))
}
