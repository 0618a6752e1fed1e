package image

import (
	"io"
	"time"
)

// BuildPrefix begins the ids of sandboxes whose network builds have; the process
// id of whoever builds follows.
const BuildPrefix = "build-"

// Build is what an engine is to build.
type Build struct {
	// Network is the id of the sandbox whose network its programs have.
	Network string
	// Context is a tar file.
	Context io.Reader
	// Dockerfile is its name in the context.
	Dockerfile string
	Args       map[string]string
	Target     string
	Tag        string
	Labels     map[string]string
	// Output is told each line that the engine says.
	Output func(line string)
}

// Built is an image that was built here.
type Built struct {
	ID      string    `json:"id"`
	Tag     string    `json:"tag,omitempty"`
	Key     string    `json:"key"`
	Source  string    `json:"source"`
	Project string    `json:"project"`
	Created time.Time `json:"created"`
	Bytes   int64     `json:"bytes"`
}
