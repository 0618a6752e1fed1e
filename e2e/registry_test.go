package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdRegistry serves the files of a directory behind TLS for a name, which is
// all that a registry is to the clients of most languages:
// registry NAME VARIABLE DIR [AUTHORIZATION]. With an authorization it answers
// nothing without it, and echoes it in /echo.
func cmdRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: registry NAME VARIABLE DIR [AUTHORIZATION]")
	}
	a := apisOf(ts)
	name, dir, wants := args[0], ts.MkAbs(args[2]), strings.Join(args[3:], "")
	files := http.FileServer(http.Dir(dir))
	a.listen(ts, name, args[1], true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := r.Header.Get("Authorization")
		a.mu.Lock()
		a.hits[name] = append(a.hits[name], r.Method+" "+r.Host+" "+r.URL.Path)
		a.mu.Unlock()
		switch {
		case wants != "" && got != wants:
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
		case r.URL.Path == "/echo":
			fmt.Fprintf(w, "you sent %s\n", got)
		default:
			// npm asks for metadata by the name of the package alone, pip by a
			// directory's.
			if index := path.Join(r.URL.Path, "index.json"); exists(filepath.Join(dir, filepath.FromSlash(index))) {
				r.URL.Path = index
				w.Header().Set("Content-Type", "application/json")
			}
			files.ServeHTTP(w, r)
		}
	}))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
