package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/audit"
)

// The two paragraphs of what was promised, word by word.
const (
	promisedSandbox = "Own clone and re-exec, " + saysIdentity + ". " + saysView + ", " + saysPrivate + "; " + saysTree + "; " + saysTools + ". " +
		saysPrivileges + ", " + saysLandlock + ", " + saysUserns + ", " + saysNamespaces + ", " + saysInit + ", " + saysDeath + ". " +
		saysLimits + "; " + saysMemory + "."
	promisedGateway = "In the supervisor. " + saysOnlyLo + ": proxy on 127.0.0.1:3128, " + saysResolver + ", " + saysRedirect + ", " + saysNoUDP + ". " +
		"Rules by name at connection time: " + saysNames + "; " + saysFile + "; " + saysBadLine + "; " + saysEmpty + ". " +
		saysOneHost + "; " + saysLiterals + "; " + saysAddresses + "; " + saysLookups + ". " + saysDenial + ". " + saysRecord + "."
)

// TestAttackEverySentence wants an attack on each part of the two paragraphs,
// in a table or in a test of its own.
func TestAttackEverySentence(t *testing.T) {
	covered := []string{ // by tests of their own
		saysDeath, saysLimits, saysMemory, saysDenial, saysRecord, saysBadLine, saysEmpty,
	}
	for _, a := range slices.Concat(viewAttacks(&attacked{t: t}), writeAttacks(), toolAttacks(), privilegeAttacks(), processAttacks(),
		pathAttacks(), resolverAttacks(), ruleAttacks(), hostAttacks(), smuggling(), literalAttacks(), addressAttacks()) {
		covered = append(covered, a.says)
	}
	for _, paragraph := range []string{promisedSandbox, promisedGateway} {
		rest := paragraph
		for _, says := range covered {
			rest = strings.ReplaceAll(rest, says, "")
		}
		for _, known := range []string{"Own clone and re-exec", "In the supervisor", "proxy on 127.0.0.1:3128", "Rules by name at connection time"} {
			rest = strings.ReplaceAll(rest, known, "")
		}
		if rest = strings.Trim(rest, " .,;:"); strings.ContainsFunc(rest, func(r rune) bool { return !strings.ContainsRune(" .,;:", r) }) {
			t.Errorf("nobody attacks %q", rest)
		}
	}
}

// TestAttackAllowlist writes lists that cannot be meant, in every place.
func TestAttackAllowlist(t *testing.T) {
	h := newAttacked(t, nil)
	for _, tt := range []struct {
		line   string
		column int
	}{
		{"10.0.0.1", 1},
		{"127.0.0.1:80", 1},
		{"[::1]", 1},
		{"2130706433", 1},
		{"0x7f.1", 1},
		{"localhost", 1},
		{"good.example evil.example", 14},
		{"*", 1},
		{"*.*.example", 1},
		{"good*.example", 1},
		{"good.*", 1},
		{"*.", 1},
		{"ftp://good.example", 1},
		{"https://good.example/pa\\th", 21},
		{"https://user@good.example/x", 9},
		{"good.example:0", 14},
		{"good.example:65536", 14},
		{"good.example:http", 14},
		{"good.example:", 14},
		{"user@good.example", 1},
		{"good..example", 1},
		{"-good.example", 1},
		{"good.example#comment", 13},
		{"!evil.example", 1},
		{"good.example\x00", 1},
	} {
		t.Run(strings.ReplaceAll(tt.line, "/", "|"), func(t *testing.T) {
			h.t = t
			refs := h.git("for-each-ref")
			h.write("home/.config/agent-process/allowlist", "# mine\nfine.example\n  "+tt.line+"\n")
			status, out := h.try(binaryPath(), "start", "bad", "Goal", "--agent", "exec", "--", "true")
			if status != 15 || !strings.Contains(out, fmt.Sprintf("allowlist:3:%d:", tt.column+2)) {
				t.Errorf("%s: status %d, it says %q", saysBadLine, status, out)
			}
			if got := h.git("for-each-ref"); got != refs {
				t.Errorf("refs: %q", got)
			}
		})
	}
	h.t = t
	h.write("home/.config/agent-process/allowlist", "# nothing\n\n")
	r := h.start("none", nil, "sh", "-c", connect("good.example:443")+"; touch work.txt")
	denied := slices.ContainsFunc(all[audit.Request](r), func(q audit.Request) bool { return q.Host == "good.example" && q.Verdict == audit.Deny })
	if r.status != 0 || !denied {
		t.Errorf("%s: status %d\n%s", saysEmpty, r.status, r.transcript())
	}
}
