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
	c.flow.up.Add(int64(n))
	return n, err
}

// countedResponse counts what goes back.
type countedResponse struct {
	http.ResponseWriter
	flow *flow
}

// Write implements http.ResponseWriter.
func (c *countedResponse) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.flow.down.Add(int64(n))
	return n, err
}

// Unwrap is how http.ResponseController finds Flush.
func (c *countedResponse) Unwrap() http.ResponseWriter { return c.ResponseWriter }
