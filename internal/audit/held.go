package audit

// Held is a commit that was not let into the host repository, because it
// changes what the run may not change, or a file that was taken out of one. It
// stays in quarantine.
type Held struct {
	ID      string   `json:"id"`
	Subject string   `json:"subject"`
	Paths   []string `json:"paths"`            // the first of those it may not change
	More    int      `json:"more,omitempty"`   // how many paths besides
	Reason  string   `json:"reason,omitempty"` // "outside --scope docs/**"
	// Kind is the kind of risk, such as "secrets", when Paths is one file that
	// was taken out of the commits that came home.
	Kind string `json:"kind,omitempty"`
}

// EventKind implements Payload.
func (Held) EventKind() string { return "held" }
