package e2e

import (
	"regexp"
	"strings"
	"testing"
)

// attack is one way to break a sentence of what was promised, tried from
// inside the whole product.
type attack struct {
	says string // the sentence, or the part of it, that it would break
	name string
	// run is a script for sh in the agent's tree, where ./probe is.
	run string
	// sees matches the output, all of it, lines joined by blanks. Empty means
	// that the script must be refused: it does not end with 0.
	sees string
}

// check holds what came of an attack against what must be seen.
func (a attack) check(t *testing.T, r probed) {
	t.Helper()
	if a.sees == "" {
		if r.Exit == 0 {
			t.Errorf("it worked: %q", r.Output)
		}
		return
	}
	output := strings.Join(strings.Fields(r.Output), " ")
	if !regexp.MustCompile(`(?s)^(?:` + a.sees + `)$`).MatchString(output) {
		t.Errorf("exit %d, it saw %q, want %q", r.Exit, output, a.sees)
	}
}

// The paragraphs that the attacks are about, sentence by sentence or, where a
// sentence promises many things, part by part.
const (
	saysIdentity   = "rootless as an ordinary user and as root (then the agent runs as SUDO_UID or a dedicated unprivileged id, never 0 and never a uid that exists for someone else)"
	saysView       = "Empty root plus an allowlist of read-only mounts"
	saysPrivate    = "private /tmp, /run, HOME, /proc, /dev"
	saysTree       = "only the tree is writable"
	saysTools      = "toolchains on PATH outside /usr (Go, nvm, rustup and cargo binaries, pyenv, volta) appear read-only without their credential files"
	saysPrivileges = "No capabilities, no_new_privs, seccomp allowlist"
	saysLandlock   = "Landlock as one ruleset applied after PID 1"
	saysUserns     = "no user namespaces inside"
	saysNamespaces = "own pid/ipc/uts/net/cgroup namespaces"
	saysInit       = "a reaping PID 1 that the agent cannot kill or trace"
	saysDeath      = "death with the supervisor (kill -9 of it leaves 0 processes and 0 mounts within 1 s)"
	saysLimits     = "Limits by cgroup v2, v1 or rlimits, whichever is there, and it says which: `--memory`, `--pids`, `--cpus`, `--disk`"
	saysMemory     = "an out-of-memory kill is named as such"

	saysOnlyLo    = "Inside there is only `lo`"
	saysResolver  = "resolver on 127.0.0.1:53 (UDP and TCP, A and AAAA)"
	saysRedirect  = "everything else on TCP redirected to the same rules (v4 and v6)"
	saysNoUDP     = "no UDP out"
	saysNames     = "`example.com` exactly, `*.example.com` any depth below, `:port` (default 443, and 80 for `http://`), comments"
	saysFile      = "file `.agent-process/allowlist` of the base commit plus the user's and `--allow`"
	saysBadLine   = "an unparsable line stops the start and names file, line and column"
	saysEmpty     = "an empty list means none"
	saysOneHost   = "One normalised host (case, trailing dot, IDNA) must agree across CONNECT, SNI and Host"
	saysLiterals  = "IP literals in every spelling are refused"
	saysAddresses = "the address dialled is the one checked against private, loopback, link-local, metadata, CGNAT, multicast, mapped and translated ranges"
	saysLookups   = "unlisted names are never resolved"
	saysDenial    = "A denial: at most 1 s, one id, names the missing line, seen by agent (403 body, NXDOMAIN) and by person (one line)"
	saysRecord    = "Every connection is recorded: host, address, bytes each way, verdict, rule, duration"
	saysProof     = "If any does, the run refuses to start and says which"
	saysHostGit   = "Nothing the agent wrote is ever opened, executed or interpreted by host git"
)

// byName makes a map of a table, and fails for a name that stands twice.
func byName(t *testing.T, attacks []attack) map[string]attack {
	t.Helper()
	m := map[string]attack{}
	for _, a := range attacks {
		if _, twice := m[a.name]; twice || a.name == "" || a.says == "" {
			t.Fatalf("attack %q: wants a name of its own and what it would break", a.name)
		}
		m[a.name] = a
	}
	return m
}
