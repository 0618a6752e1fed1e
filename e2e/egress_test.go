package e2e

import (
	"fmt"
	"net/http"
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
