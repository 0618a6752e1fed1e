package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Why a host was refused; a [HostError] wraps one of them.
var (
	ErrHostEmpty     = errors.New("it is empty")
	ErrHostLength    = errors.New("it or one of its labels is too long")
	ErrHostCharacter = errors.New("it has a character that a host name cannot have")
	ErrHostLabel     = errors.New("it has a label that is empty or starts or ends with '-'")
	ErrHostUserinfo  = errors.New("it carries a user name")
	ErrHostIDNA      = errors.New("it is not a valid internationalised name")
	ErrHostAddress   = errors.New("it is an IP address, and only names can be listed")
)

// HostError says which host was refused and why.
type HostError struct {
	Host string
	Why  error
}

// Error implements error.
func (e *HostError) Error() string { return fmt.Sprintf("host %q: %v", clip(e.Host), e.Why) }

// Unwrap gives the reason.
func (e *HostError) Unwrap() error { return e.Why }

const (
	maxHost  = 253 // RFC 1035 2.3.4, as text without the last dot
	maxLabel = 63
	maxInput = 1024
)

// NormalizeHost gives the one spelling of a host that everything compares:
// lower case, without the dot at its end, labels in their ASCII form (UTS 46,
// non-transitional). It refuses whatever is not a plain DNS name, and every
// spelling of an IP address: dotted quad, fewer parts, octal, hexadecimal, one
// number, bracketed or bare IPv6 with or without a zone, full-width digits. As
// in the WHATWG URL standard, a name whose last label is a number is an
// address or nothing at all.
//
// '_' is allowed, but for the last label: real hosts have it.
func NormalizeHost(host string) (string, error) {
	if err := precheck(host); err != nil {
		return "", &HostError{Host: host, Why: err}
	}
	name := host
	if !plain(host) {
		var err error
		if name, err = toASCII(host); err != nil {
			return "", &HostError{Host: host, Why: err}
		}
	}
	if err := checkName(name); err != nil {
		return "", &HostError{Host: host, Why: err}
	}
	return name, nil
}

// precheck gives the clearest reason for what people and attackers write.
func precheck(host string) error {
	switch {
	case host == "":
		return ErrHostEmpty
	case len(host) > maxInput:
		return ErrHostLength
	case strings.Contains(host, "@"):
		return ErrHostUserinfo
	case strings.ContainsAny(host, ":[]"):
		return colonReason(host)
	}
	return nil
}

// colonReason tells an IPv6 literal from rubbish.
func colonReason(host string) error {
	bare, _, _ := strings.Cut(strings.Trim(host, "[]"), "%")
	if _, err := netip.ParseAddr(bare); err == nil {
		return ErrHostAddress
	}
	return ErrHostCharacter
}

// plain reports whether host is lower-case ASCII with no dot at its end and no
// internationalised label, which is nearly always.
func plain(host string) bool {
	for i := range len(host) {
		if c := host[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return host[len(host)-1] != '.' && !strings.Contains(host, "xn--")
}

// toASCII maps the labels one by one, so that mapping cannot make new ones.
func toASCII(host string) (string, error) {
	if !utf8.ValidString(host) {
		return "", ErrHostCharacter
	}
	// The dots of UTS 46, 4, step 3.
	host = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".").Replace(host)
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for i, label := range labels {
		mapped, err := labelASCII(label)
		if err != nil {
			return "", err
		}
		labels[i] = mapped
	}
	return strings.Join(labels, "."), nil
}

func labelASCII(label string) (string, error) {
	if ascii(label) {
		label = strings.ToLower(label)
		if !strings.HasPrefix(label, "xn--") {
			return label, nil
		}
	}
	unicode, err := idna.Lookup.ToUnicode(label)
	if err != nil {
		return "", ErrHostIDNA
	}
	mapped, err := idna.Lookup.ToASCII(unicode)
	switch {
	case err != nil, mapped == "", strings.Contains(mapped, "."), !ascii(mapped):
		return "", ErrHostIDNA
	case strings.HasPrefix(label, "xn--") && mapped != label:
		return "", ErrHostIDNA // two spellings of one name
	}
	return mapped, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// checkName judges a name that is lower-case ASCII.
func checkName(name string) error {
	if name == "" {
		return ErrHostEmpty
	}
	if len(name) > maxHost {
		return ErrHostLength
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
		last = label
	}
	switch {
	case numeric(last):
		return ErrHostAddress
	case strings.Contains(last, "_"):
		return ErrHostCharacter
	}
	return nil
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return ErrHostLabel
	case len(label) > maxLabel:
		return ErrHostLength
	}
	for i := range len(label) {
		c := label[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' {
			return ErrHostCharacter
		}
	}
	if label[0] == '-' || label[len(label)-1] == '-' {
		return ErrHostLabel
	}
	return nil
}

// numeric reports whether inet_aton(3) would take the label for a number.
func numeric(label string) bool {
	digits, isHex := strings.CutPrefix(label, "0x")
	for i := range len(digits) {
		c := digits[i]
		if (c < '0' || c > '9') && (!isHex || c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// clip bounds hostile text in a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
