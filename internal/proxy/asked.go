package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"agentprocess/internal/policy"
)

// maxBatch bounds the body of a Git LFS batch, which is looked at.
const maxBatch = 1 << 20

// asked is a request as the policy judges it.
func (s *Server) asked(req *http.Request, to destination) (policy.Request, *denied) {
	q := policy.Request{
		Host: to.host, Port: to.port, Scheme: to.scheme,
		Method: req.Method, Path: req.URL.EscapedPath(), Query: req.URL.RawQuery,
	}
	if q.Path == "" {
		q.Path = "/"
	}
	if strings.EqualFold(req.Header.Get("Upgrade"), "websocket") {
		q.Method = policy.MethodWebsocket
	}
	if !s.policy.Load().Inspects(to.host, to.port) {
		return q, nil
	}
	for name := range req.Header {
		if overrides(name) {
			return q, refusal("the " + name + " header asks for another method than the request's, and rules for " + strconv.Quote(to.host) + " judge methods")
		}
	}
	if q.LFSBatch() {
		q.LFS = batchOperation(req)
	}
	return q, nil
}

// overrides reports whether a header makes servers take a request for one
// with another method. Servers that come from CGI take '_' for '-'.
func overrides(name string) bool {
	switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
	case "x-http-method-override", "x-http-method", "x-method-override":
		return true
	}
	return false
}

// batchOperation is what a Git LFS batch asks for, empty when that cannot be
// told for sure. The body stays to be read.
func batchOperation(req *http.Request) string {
	if req.Header.Get("Content-Encoding") != "" || req.Body == nil {
		return ""
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, maxBatch+1))
	req.Body = &reread{Reader: io.MultiReader(bytes.NewReader(body), req.Body), Closer: req.Body}
	if err != nil || len(body) > maxBatch {
		return ""
	}
	return topLevel(body, "operation")
}

// reread is a body of which a part was read ahead.
type reread struct {
	io.Reader
	io.Closer
}

// topLevel gives the one string of an object's key. Parsers differ over keys
// that come twice or in other capitals, so then there is none.
func topLevel(body []byte, key string) string {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	found, value := 0, ""
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return ""
		}
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return ""
		}
		if text, ok := name.(string); ok && strings.EqualFold(text, key) {
			found++
			if text != key || json.Unmarshal(raw, &value) != nil {
				return ""
			}
		}
	}
	if _, err := dec.Token(); err != nil || found != 1 || dec.More() {
		return ""
	}
	return value
}
