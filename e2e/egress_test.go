package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdStream serves for a name, behind TLS, an answer that goes on until somebody
// ends it: stream NAME VARIABLE.
func cmdStream(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: stream NAME VARIABLE")
	}
	apisOf(ts).listen(ts, args[0], args[1], true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
				if _, err := fmt.Fprintln(w, "tick"); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
			}
		}
	}))
}

// cmdOnlyRead checks that a server was asked, and by requests that read alone:
// onlyread NAME.
func cmdOnlyRead(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: onlyread NAME")
	}
	a := apisOf(ts)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.hits[args[0]]) == 0 {
		ts.Fatalf("%s was not asked", args[0])
	}
	for _, hit := range a.hits[args[0]] {
		if !strings.HasPrefix(hit, "GET ") && !strings.HasPrefix(hit, "HEAD ") {
			ts.Fatalf("%s was asked %s", args[0], hit)
		}
	}
}
