package scripted

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxBody bounds one request.
	maxBody = 32 << 20
	// maxRecorded and maxRecordedBytes bound what Requests keeps; the oldest
	// go first.
	maxRecorded      = 2000
	maxRecordedBytes = 64 << 20
)

// Request is a request as it was received.
type Request struct {
	Method string
	Path   string // with the query
	Header http.Header
	Body   []byte
	// Conversation is the name of the one that answered; empty for none.
	Conversation string
	// Turn counts from 1.
	Turn int
}

// Option changes a Server.
type Option func(*Server)

// WithCredential makes the server refuse, with 401, every request that does
// not carry the credential as its bearer token or x-api-key.
func WithCredential(value string) Option {
	return func(s *Server) { s.credential = value }
}

// Server answers as the script says. It is safe for concurrent use.
type Server struct {
	script     Script
	credential string
	mux        *http.ServeMux

	mu       sync.Mutex
	requests []Request
	recorded int
	gates    map[string]chan struct{}
	failures map[string]int
	served   int
}

// New makes a server for a script.
func New(script Script, options ...Option) *Server {
	s := &Server{script: script.merged(), mux: http.NewServeMux(), gates: map[string]chan struct{}{}, failures: map[string]int{}}
	for _, o := range options {
		o(s)
	}
	s.mux.HandleFunc("POST /v1/messages", s.messages)
	s.mux.HandleFunc("POST /v1/messages/count_tokens", s.countTokens)
	s.mux.HandleFunc("GET /v1/models", s.models)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.record(r, nil, "", 0)
		writeError(w, Error{Status: http.StatusNotFound, Message: "not part of the scripted API"})
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Request-Id", fmt.Sprintf("req_scripted_%d", s.next()))
	if s.credential != "" && presented(r) != s.credential {
		s.record(r, nil, "", 0)
		writeError(w, Error{Status: http.StatusUnauthorized, Message: "invalid credential"})
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Open lets the answers held by a gate through, now and later.
func (s *Server) Open(gate string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.gateLocked(gate)
	select {
	case <-c: // open already
	default:
		close(c)
	}
}

// Requests are the last requests received, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

func (s *Server) gateLocked(name string) chan struct{} {
	c, ok := s.gates[name]
	if !ok {
		c = make(chan struct{})
		s.gates[name] = c
	}
	return c
}

func (s *Server) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served++
	return s.served
}

func (s *Server) record(r *http.Request, body []byte, conversation string, turn int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{
		Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone(), Body: body,
		Conversation: conversation, Turn: turn,
	})
	s.recorded += len(body)
	for len(s.requests) > maxRecorded || s.recorded > maxRecordedBytes && len(s.requests) > 1 {
		s.recorded -= len(s.requests[0].Body)
		s.requests = s.requests[1:]
	}
}

// presented is the credential of a request.
func presented(r *http.Request) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	body, m, err := read(w, r)
	if err != nil {
		writeError(w, Error{Status: http.StatusBadRequest, Message: err.Error()})
		return
	}
	name, n, turn := s.choose(m)
	s.record(r, body, name, n)
	if err := s.hold(r.Context(), turn); err != nil {
		return // the client went away; there is nobody to answer
	}
	if turn.Error != nil && s.fails(fmt.Sprintf("%s/%s/%d", name, m.key(), n), *turn.Error) {
		writeError(w, *turn.Error)
		return
	}
	a := newAnswer(m, turn, s.next())
	if m.Stream {
		a.stream(w, func() error { return s.through(r.Context(), turn.Within) })
		return
	}
	writeJSON(w, http.StatusOK, a.message(true))
}

func read(w http.ResponseWriter, r *http.Request) ([]byte, messages, error) {
	var m messages
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, m, fmt.Errorf("read request: %w", err)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return body, m, fmt.Errorf("parse request: %w", err)
	}
	return body, m, nil
}

// choose finds the turn that answers m: of the first conversation that fits,
// else a small answer of our own.
func (s *Server) choose(m messages) (conversation string, number int, turn Turn) {
	for i, c := range s.script.Conversations {
		if !c.Match.fits(m) {
			continue
		}
		name := c.Name
		if name == "" {
			name = fmt.Sprintf("conversation %d", i+1)
		}
		n := m.turn()
		if n < len(c.Turns) {
			return name, n + 1, c.Turns[n]
		}
		return name, n + 1, Turn{Text: "Done."}
	}
	return "", 0, aside(m)
}

// aside answers what is asked beside a conversation: a quota probe, a title.
func aside(m messages) Turn {
	if schema := m.schema(); schema != nil {
		if text, err := json.Marshal(instance(schema, 8)); err == nil {
			return Turn{Text: string(text)}
		}
	}
	if m.MaxTokens == 1 {
		return Turn{Text: "#", StopReason: "max_tokens"}
	}
	return Turn{Text: "Scripted session"}
}

// through waits for a gate, if there is one.
func (s *Server) through(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	s.mu.Lock()
	gate := s.gateLocked(name)
	s.mu.Unlock()
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold waits for the turn's gate and pause.
func (s *Server) hold(ctx context.Context, t Turn) error {
	if err := s.through(ctx, t.Gate); err != nil {
		return err
	}
	if t.Pause <= 0 {
		return nil
	}
	timer := time.NewTimer(time.Duration(t.Pause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fails counts one more try and says whether it is to fail.
func (s *Server) fails(key string, e Error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[key]++
	return e.Times == 0 || s.failures[key] <= e.Times
}

func (s *Server) countTokens(w http.ResponseWriter, r *http.Request) {
	body, m, err := read(w, r)
	if err != nil {
		writeError(w, Error{Status: http.StatusBadRequest, Message: err.Error()})
		return
	}
	s.record(r, body, "", m.turn())
	writeJSON(w, http.StatusOK, map[string]int{"input_tokens": tokens(len(body))})
}

func (s *Server) models(w http.ResponseWriter, r *http.Request) {
	s.record(r, nil, "", 0)
	model := map[string]string{
		"type": "model", "id": "claude-scripted", "display_name": "Scripted", "created_at": "2025-01-01T00:00:00Z",
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"data": []any{model}, "has_more": false, "first_id": model["id"], "last_id": model["id"],
	})
}

// Serve serves the API on ln until ctx ends, behind TLS unless config is nil.
func (s *Server) Serve(ctx context.Context, ln net.Listener, config *tls.Config) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, TLSConfig: config}
	stop := context.AfterFunc(ctx, func() {
		_ = server.Close() // what it could say of its listeners changes nothing
	})
	defer stop()
	var err error
	if config == nil {
		err = server.Serve(ln)
	} else {
		err = server.ServeTLS(ln, "", "")
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the scripted API: %w", err)
	}
	return nil
}
