package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"agentprocess/internal/agent"
	"agentprocess/internal/scripted"
)

// toolsVar tells the inner test binary where tools from npm are.
const toolsVar = "AGENT_PROCESS_E2E_TOOLS"

// claudeVar tells the inner test binary where Claude Code is.
const claudeVar = "AGENT_PROCESS_E2E_CLAUDE"

// realToken is what the host holds and the sandbox must never.
const realToken = "sk-ant-oat01-real-token-of-the-person-0123456789abcdefghijklmnopqrstuvwxyzAA"

// prepareClaude finds or installs the real Claude Code while there is still a
// network, and names it in the environment.
func prepareClaude(ctx context.Context) error {
	cache := os.Getenv("AGENT_PROCESS_TEST_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		cache = filepath.Join(dir, "agent-process-test")
	}
	cli, err := agent.Find(ctx, agent.FindOptions{Environ: os.Environ(), CacheDir: cache, CacheOnly: true})
	if err != nil {
		return fmt.Errorf("the end-to-end tests need Claude Code: %w", err)
	}
	return errors.Join(os.Setenv(claudeVar, cli.Path), os.Setenv(toolsVar, filepath.Join(cache, "tools")))
}

// apis are the servers of one script.
type apis struct {
	mu        sync.Mutex
	authority *scripted.Authority
	api       *scripted.Server
	hits      map[string][]string // server name to what it was asked
}

// start makes the authority once and puts it where the product looks for the
// host's certificates.
func (a *apis) start(ts *testscript.TestScript) *scripted.Authority {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.authority == nil {
		authority, err := scripted.NewAuthority(time.Now())
		ts.Check(err)
		path := ts.MkAbs("authority.pem")
		ts.Check(os.WriteFile(path, authority.PEM(), 0o644))
		ts.Setenv("SSL_CERT_FILE", path)
		ts.Setenv("AUTHORITY", path)
		a.authority, a.hits = authority, map[string][]string{}
	}
	return a.authority
}

// listen serves handler behind TLS for a name, on an address that the script
// finds in a variable.
func (a *apis) listen(ts *testscript.TestScript, name, variable string, secure bool, handler http.Handler) {
	authority := a.start(ts)
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	if secure {
		cert, err := authority.Certificate(name)
		ts.Check(err)
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if secure {
			_ = server.ServeTLS(ln, "", "")
		} else {
			_ = server.Serve(ln)
		}
	}()
	ts.Defer(func() {
		server.Close()
		<-ended
	})
	ts.Setenv(variable, ln.Addr().String())
}

func apisOf(ts *testscript.TestScript) *apis { return ts.Value(apiKey{}).(*apis) }

// cmdAPI serves a scripted Messages API: api SCRIPT [NAME]. It sets API and
// API_PORT, and the person's credential.
func cmdAPI(ts *testscript.TestScript, neg bool, args []string) {
	name := "api.anthropic.com"
	switch {
	case neg || len(args) < 1 || len(args) > 2:
		ts.Fatalf("usage: api SCRIPT [NAME]")
	case len(args) == 2:
		name = args[1]
	}
	script, err := scripted.Load(ts.MkAbs(args[0]))
	ts.Check(err)
	a := apisOf(ts)
	a.api = scripted.New(script, scripted.WithCredential(realToken))
	a.listen(ts, name, "API", true, a.api)
	_, port, err := net.SplitHostPort(ts.Getenv("API"))
	ts.Check(err)
	ts.Setenv("API_PORT", port)
	ts.Setenv("CLAUDE_CODE_OAUTH_TOKEN", realToken)
}

// cmdServe serves a plain answer for a name: serve https|http NAME VARIABLE.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: serve https|http NAME VARIABLE")
	}
	a := apisOf(ts)
	name := args[1]
	a.listen(ts, name, args[2], args[0] == "https", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.hits[name] = append(a.hits[name], r.Method+" "+r.Host+" "+r.URL.Path)
		a.mu.Unlock()
		fmt.Fprintf(w, "hello from %s\n", name)
	}))
}

// cmdSees checks what a server saw: sees token, or sees NAME COUNT.
func cmdSees(ts *testscript.TestScript, neg bool, args []string) {
	a := apisOf(ts)
	switch {
	case len(args) == 1 && args[0] == "token":
		a.checkToken(ts)
	case len(args) == 2:
		a.mu.Lock()
		got := a.hits[args[0]]
		a.mu.Unlock()
		if (fmt.Sprint(len(got)) == args[1]) == neg {
			ts.Fatalf("%s was asked %d times: %q", args[0], len(got), got)
		}
	default:
		ts.Fatalf("usage: sees token | sees NAME COUNT")
	}
}

// checkToken checks that the API saw the person's token in every message, and
// that the token is nowhere in what an agent's run left on the host.
func (a *apis) checkToken(ts *testscript.TestScript) {
	requests := a.api.Requests()
	if len(requests) == 0 {
		ts.Fatalf("the API was not asked")
	}
	for _, r := range requests {
		if got := r.Header.Get("Authorization"); got != "Bearer "+realToken {
			ts.Fatalf("the API was asked with %q", got)
		}
	}
	if found := grep(ts.Getenv("HOME"), realToken); found != "" {
		ts.Fatalf("the token is in %s", found)
	}
}

// grep finds a file below dir that holds text.
func grep(dir, text string) string {
	found := ""
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() || found != "" {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer f.Close()
		r := bufio.NewReaderSize(f, 1<<20)
		data, err := io.ReadAll(io.LimitReader(r, 64<<20))
		if err == nil && strings.Contains(string(data), text) {
			found = path
		}
		return nil
	})
	return found
}

// cmdToken writes the person's real token to a file: token FILE.
func cmdToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: token FILE")
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), args[0]), []byte(realToken+"\n"), 0o600))
}
