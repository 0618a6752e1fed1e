package proof

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
)

// Verb is the hidden command that runs Main.
const Verb = "__prove"

// Destinations nobody owns: RFC 5737 and RFC 3849.
const (
	raw4 = "192.0.2.1"
	raw6 = "2001:db8::1"
)

// Plan says what to try. Names and ports are new for each run, so that an
// answer cannot be one of an earlier run.
type Plan struct {
	Host  string `json:"host"` // a name that no list holds
	Port  uint16 `json:"port"` // of the raw TCP destinations
	UDP   uint16 `json:"udp"`  // of the UDP destinations
	Nonce string `json:"nonce"`
}

// NewPlan makes a plan from a source of randomness.
func NewPlan(random io.Reader) (Plan, error) {
	var b [12]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Plan{}, fmt.Errorf("draw a canary: %w", err)
	}
	nonce := hex.EncodeToString(b[:8])
	return Plan{
		Host:  "canary-" + nonce + ".agent-process.invalid",
		Port:  highPort(b[8], b[9]),
		UDP:   highPort(b[10], b[11]),
		Nonce: nonce,
	}, nil
}

// highPort maps two random bytes to 20000..52767, away from known services
// and from the ephemeral ports' upper half.
func highPort(a, b byte) uint16 {
	return 20000 + (uint16(a)<<8|uint16(b))&0x7fff
}

// Arg is the plan as Main's one argument.
func (p Plan) Arg() string {
	data, _ := json.Marshal(p) // strings and integers always encode
	return string(data)
}

// tcpTarget is a raw address of the plan as host:port.
func (p Plan) tcpTarget(ip string) string {
	return net.JoinHostPort(ip, strconv.Itoa(int(p.Port)))
}

// Result is how one attempt ended.
type Result string

// The results there are.
const (
	// NoRoute: the kernel inside had nowhere to send it.
	NoRoute Result = "no-route"
	// Closed: something accepted and closed without an answer; the gateway
	// must have recorded it.
	Closed Result = "closed"
	// Denied: the gateway answered with a denial.
	Denied Result = "denied"
	// Local: the datagram came back to its own sandbox.
	Local Result = "local"
	// Open: an answer came from elsewhere, or nothing shows that none can.
	Open Result = "open"
)

// Attempt is one try to get out.
type Attempt struct {
	Check  string `json:"check"`
	Target string `json:"target"`
	Result Result `json:"result"`
	Detail string `json:"detail,omitempty"`
}

// Report is what Main prints.
type Report struct {
	Nonce    string    `json:"nonce"`
	Attempts []Attempt `json:"attempts"`
}

// The checks a report must hold, one attempt each.
const (
	CheckName       = "unlisted name through the proxy"
	CheckRaw4       = "raw IPv4 address"
	CheckRaw6       = "raw IPv6 address"
	CheckUDP4       = "UDP datagram over IPv4"
	CheckUDP6       = "UDP datagram over IPv6"
	CheckDNS        = "unlisted DNS name"
	CheckDNSRaw     = "unlisted DNS name at a foreign resolver"
	CheckInterfaces = "network interfaces"
)
