package policy

import (
	"fmt"
	"strings"
)

// Local reports whether a normalised host is the machine that asks (RFC 6761).
func Local(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// SplitAuthority cuts "host:port" and normalises the host. Without a port it
// gives the default one, or fails if that is 0.
func SplitAuthority(authority string, defaultPort uint16) (host string, port uint16, err error) {
	name, text, found := strings.Cut(authority, ":")
	if strings.HasPrefix(authority, "[") || strings.Contains(text, ":") {
		return "", 0, &HostError{Host: authority, Why: colonReason(bracketed(authority))}
	}
	if host, err = NormalizeHost(name); err != nil {
		return "", 0, err
	}
	port = defaultPort
	if found {
		if port, err = parsePort(text); err != nil {
			return "", 0, fmt.Errorf("authority %q: %w", clip(authority), err)
		}
	}
	if port == 0 {
		return "", 0, fmt.Errorf("authority %q: %w", clip(authority), ErrRulePort)
	}
	return host, port, nil
}

// bracketed is what stands in brackets, or all of it.
func bracketed(authority string) string {
	if inner, _, ok := strings.Cut(authority, "]"); ok {
		return inner
	}
	return authority
}
