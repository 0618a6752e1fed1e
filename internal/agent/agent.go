package agent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"agentprocess/internal/audit"
	"agentprocess/internal/sandbox"
)

// Adapter is one kind of agent.
type Adapter interface {
	// Plan says what the agent needs for a request.
	Plan(ctx context.Context, r Request) (Plan, error)
	// Transcript makes a reader of one run's output.
	Transcript() Transcript
}

// Conversing is an Adapter whose agent can go on with a conversation.
type Conversing interface {
	// SessionFile is where below the agent's home a conversation is, as
	// path.Match has it.
	SessionFile(session string) string
}

// Request is one job for an agent.
type Request struct {
	Goal  string
	Model string // the agent's default when empty
	// Dir and Home are absolute paths inside.
	Dir, Home string
	// Environ is the user's environment on the host: an adapter takes from it
	// only what is its own and no secret, such as the API's base URL.
	Environ []string
	// Env is what the user let through by name; it may hold anything.
	Env []string
	// Argv is the command for an agent that is one.
	Argv []string
	// Credential stands in for a real one; zero when there is none.
	Credential StandIn
	// CABundle is the path inside of the certificates to trust, if any.
	CABundle string
	// Session is the conversation to go on with, which is in Home already; Goal
	// is then what the person says next.
	Session string
	// Interactive starts the agent on a terminal that a person looks at.
	Interactive bool
	// Trusted are the files of the base commit that steer the agent and that a
	// person has agreed to: MCP servers, settings with their hooks, skills,
	// subagents, commands. What is not here does nothing.
	Trusted []TreeFile
	// Instructions are the files of the base commit for which InstructionFile
	// is true. They are read whether anything is trusted or not.
	Instructions []TreeFile
}

// StandIn is the placeholder of a credential: an environment variable inside.
type StandIn struct{ Env, Value string }

// Plan is what an agent needs in its sandbox.
type Plan struct {
	Argv  []string
	Stdin []byte // nil is no input
	// Sealed is for an agent whose output is believed: see sandbox.Command.
	Sealed bool
	Env    []string // K=V; wins over what the user let through
	Files  []sandbox.File
	Mounts []sandbox.Mount
	// Rules are the egress rules the agent cannot work without.
	Rules []string
	// API is where the credential belongs; zero when the agent has none.
	API  Endpoint
	Info sandbox.AgentInfo
	// Notices are what a person should know of the plan.
	Notices []string
}

// Endpoint is the server of an API.
type Endpoint struct {
	Scheme string // "https" or "http"
	Host   string
	Port   uint16
}

// Rule is the egress rule that lets the endpoint be reached.
func (e Endpoint) Rule() string {
	if e.Scheme == "https" && e.Port == 443 {
		return e.Host
	}
	return e.Host + ":" + strconv.Itoa(int(e.Port))
}

// parseEndpoint reads the base URL of an API.
func parseEndpoint(raw string) (Endpoint, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// The text of the error repeats the URL, which may hold a password.
		return Endpoint{}, errors.New("not a URL")
	case u.User != nil:
		return Endpoint{}, errors.New("it holds a user name or password")
	case u.Hostname() == "":
		return Endpoint{}, errors.New("it names no host")
	}
	e := Endpoint{Scheme: u.Scheme, Host: strings.ToLower(u.Hostname())}
	switch u.Scheme {
	case "https":
		e.Port = 443
	case "http":
		e.Port = 80
	default:
		return Endpoint{}, fmt.Errorf("scheme %q: want https or http", u.Scheme)
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return Endpoint{}, fmt.Errorf("port %q", p)
		}
		e.Port = uint16(n)
	}
	return e, nil
}

// Transcript turns the output of one run into events. It is used by one
// goroutine at a time.
type Transcript interface {
	// Line takes one line without its end. cut says that the line was longer
	// and its rest is gone.
	Line(stream Stream, line []byte, cut bool) []audit.Payload
	// Result says what is known so far.
	Result() Result
}

// Stream names an output of a program.
type Stream string

// The streams of a program.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Result is what an agent said of its run. It is the agent's word, not a fact.
type Result struct {
	Session string
	Version string
	Model   string
	Cost    sandbox.Cost
	// Ended is set when the agent said that it is done, in which case Text is
	// its last word.
	Ended bool
	Text  string
	// Failed is set when it ended with an error.
	Failed bool
	// NeedsAuth is set when the API refused the credential.
	NeedsAuth bool
}

// lookup finds a variable in a K=V list; the last one counts.
func lookup(environ []string, name string) string {
	value := ""
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}
