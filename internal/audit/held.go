package audit

// Held is a commit that was not let into the host repository, because it
// changes what the run may not change. It stays in quarantine.
type Held struct {
	ID      string   `json:"id"`
	Subject string   `json:"subject"`
	Paths   []string `json:"paths"`            // the first of those it may not change
	More    int      `json:"more,omitempty"`   // how many paths besides
	Reason  string   `json:"reason,omitempty"` // "outside --scope docs/**"
}

// EventKind implements Payload.
func (Held) EventKind() string { return "held" }
