package service

import (
	"fmt"
	"slices"
	"strings"

	"agentprocess/internal/policy"
	"agentprocess/internal/sandbox"
)

// gitConfigPath is the system's configuration of git inside.
const gitConfigPath = sandbox.RunDir + "/gitconfig"

// gitConfig has git inside reach over HTTPS what a remote names over SSH, on
// the hosts that rules list by name: SSH cannot get out, and the host's own
// keys are not for agents. A host that is listed for SSH too is left alone.
func gitConfig(rules []policy.Rule) []byte {
	listed := func(host string, port uint16) bool {
		return slices.ContainsFunc(rules, func(r policy.Rule) bool {
			return !r.Deny && !r.Wildcard && r.Name == host && (port != policy.DefaultPort || r.Scheme != policy.SchemeHTTP) &&
				slices.ContainsFunc(r.Ports, func(p policy.Ports) bool { return p.First <= port && port <= p.Last })
		})
	}
	var hosts []string
	for _, r := range rules {
		if r.Name != "" && listed(r.Name, policy.DefaultPort) && !listed(r.Name, 22) {
			hosts = append(hosts, r.Name)
		}
	}
	slices.Sort(hosts)
	var b strings.Builder
	b.WriteString("[include]\n\tpath = /etc/gitconfig\n")
	for _, host := range slices.Compact(hosts) {
		fmt.Fprintf(&b, "[url \"https://%s/\"]\n\tinsteadOf = git@%s:\n\tinsteadOf = ssh://git@%s/\n", host, host, host)
	}
	return []byte(b.String())
}
