package service

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// weakenings say what a person opened for this one run, so that it is seen and
// recorded. Of variables only the names are said: their values may be secret.
func (o StartOptions) weakenings() []string {
	if o.demo {
		return nil
	}
	var all []string
	for _, host := range slices.Sorted(maps.Keys(o.Resolve)) {
		target := o.Resolve[host]
		where := target.Addr.String()
		if target.Port != 0 {
			where = netip.AddrPortFrom(target.Addr, target.Port).String()
		}
		all = append(all, fmt.Sprintf("--resolve: %s is dialled at %s, private or not", host, where))
	}
	if o.Learn {
		all = append(all, "--learn: the list of what may be reached is NOT ENFORCED: whatever no line denies is let through and recorded")
	}
	wider := slices.DeleteFunc(slices.Clone(o.Allow), func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "deny ") })
	if len(wider) > 0 {
		all = append(all, "--allow: "+strings.Join(wider, ", ")+" may be reached")
	}
	if len(o.Secrets) > 0 {
		all = append(all, "--secret: "+strings.Join(o.Secrets, ", ")+" may be used, and the hosts of it reached")
	}
	if len(o.Env) > 0 {
		names := make([]string, len(o.Env))
		for i, kv := range o.Env {
			names[i], _, _ = strings.Cut(kv, "=")
		}
		all = append(all, "--env: "+strings.Join(names, ", ")+" can be read inside")
	}
	return all
}
