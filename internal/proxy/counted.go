package proxy

import (
	"io"
	"net/http"
)

// countedBody counts what a client sends in a request.
type countedBody struct {
	io.ReadCloser
	flow *flow
}

// Read implements io.Reader.
func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if spent := c.flow.up.pass(n); spent != nil {
		return 0, spent
	}
	return n, err
}

// countedResponse counts what goes back.
type countedResponse struct {
	http.ResponseWriter
	flow *flow
}

// Write implements http.ResponseWriter.
func (c *countedResponse) Write(p []byte) (int, error) {
	if err := c.flow.down.pass(len(p)); err != nil {
		return 0, err
	}
	return c.ResponseWriter.Write(p)
}

// Unwrap is how http.ResponseController finds Flush.
func (c *countedResponse) Unwrap() http.ResponseWriter { return c.ResponseWriter }
