package trust

// Report is what a commit of a repository brings along, and what of it a person
// has agreed to.
type Report struct {
	Repository string // common git directory, absolute
	Base       string // commit id
	Trusted    []Item
	Untrusted  []Item // with Was set where it has changed since
}
