package policy

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestNormalizeHost(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for _, tt := range []struct {
		name, in, want string
		why            error
	}{
		{"as it is", "example.com", "example.com", nil},
		{"upper case", "EXAMPLE.Com", "example.com", nil},
		{"dot at the end", "example.com.", "example.com", nil},
		{"two dots at the end", "example.com..", "", ErrHostLabel},
		{"single label", "gitea", "gitea", nil},
		{"underscore first", "_dmarc.example.com", "_dmarc.example.com", nil},
		{"underscore later", "a.b_c.example.com", "a.b_c.example.com", nil},
		{"underscore last", "a.b_c", "", ErrHostCharacter},
		{"hyphens inside", "r3---sn-x.example.com", "r3---sn-x.example.com", nil},
		{"hyphen at the start", "-a.example.com", "", ErrHostLabel},
		{"hyphen at the end", "a-.example.com", "", ErrHostLabel},
		{"international", "Bücher.example", "xn--bcher-kva.example", nil},
		{"its ASCII form", "XN--BCHER-KVA.example", "xn--bcher-kva.example", nil},
		{"sharp s is not ss", "straße.example", "xn--strae-oqa.example", nil},
		{"ideographic dot", "example。com", "example.com", nil},
		{"full-width letters", "ｅｘａｍｐｌｅ.com", "example.com", nil},
		{"longest label", long + ".example", long + ".example", nil},
		{"label too long", long + "a.example", "", ErrHostLength},
		{"too long", strings.Repeat("abcdefg.", 32) + "com", "", ErrHostLength},
		{"far too long", strings.Repeat("a", 5000), "", ErrHostLength},
		{"bad punycode", "xn--a.example", "", ErrHostIDNA},
		{"punycode of ASCII", "xn--abc-.example", "", ErrHostIDNA},
		{"empty", "", "", ErrHostEmpty},
		{"only a dot", ".", "", ErrHostEmpty},
		{"empty label", "a..b", "", ErrHostLabel},
		{"dot first", ".example.com", "", ErrHostLabel},
		{"NUL", "example.com\x00.evil.test", "", ErrHostCharacter},
		{"CR LF", "example.com\r\nX: y", "", ErrHostCharacter},
		{"space", "example.com evil.test", "", ErrHostCharacter},
		{"tab", "example.com\t", "", ErrHostCharacter},
		{"userinfo", "example.com@evil.test", "", ErrHostUserinfo},
		{"percent", "example%2ecom", "", ErrHostCharacter},
		{"slash", "example.com/x", "", ErrHostCharacter},
		{"backslash", `example.com\x`, "", ErrHostCharacter},
		{"full-width slash", "example.com／x", "", ErrHostIDNA},
		{"port", "example.com:443", "", ErrHostCharacter},
		{"invalid UTF-8", "ex\xffample.com", "", ErrHostCharacter},
		{"dotted quad", "127.0.0.1", "", ErrHostAddress},
		{"dotted quad and dot", "127.0.0.1.", "", ErrHostAddress},
		{"three parts", "127.0.1", "", ErrHostAddress},
		{"two parts", "127.1", "", ErrHostAddress},
		{"decimal", "2130706433", "", ErrHostAddress},
		{"hexadecimal", "0x7f000001", "", ErrHostAddress},
		{"hexadecimal parts", "0X7F.0x0.0.0X1", "", ErrHostAddress},
		{"hexadecimal nothing", "127.0.0.0x", "", ErrHostAddress},
		{"octal", "0177.0.0.01", "", ErrHostAddress},
		{"too many parts", "1.2.3.4.5", "", ErrHostAddress},
		{"number last", "example.123", "", ErrHostAddress},
		{"full-width digits", "１２７.０.０.１", "", ErrHostAddress},
		{"circled digits", "①②⑦.0.0.①", "", ErrHostAddress},
		{"IPv6", "::1", "", ErrHostAddress},
		{"IPv6 in brackets", "[2001:db8::1]", "", ErrHostAddress},
		{"IPv6 zone", "fe80::1%eth0", "", ErrHostAddress},
		{"IPv4-mapped", "[::ffff:127.0.0.1]", "", ErrHostAddress},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := NormalizeHost(tt.in)
			if got != tt.want || !errors.Is(err, tt.why) {
				t.Errorf("NormalizeHost(%q) = %q, %v; want %q, %v", tt.in, got, err, tt.want, tt.why)
			}
			if he, ok := errors.AsType[*HostError](err); err != nil && (!ok || he.Host != tt.in) {
				t.Errorf("error %v is no HostError for %q", err, tt.in)
			}
		})
	}
}

// inetAton reports whether inet_aton(3) accepts s.
func inetAton(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return false
	}
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if part == "0x" || part == "0X" {
			continue
		}
		if part == "" || strings.Contains(part, "_") || strings.ContainsAny(part[:1], "+-") {
			return false
		}
		base := 10
		if rest, ok := strings.CutPrefix(strings.ToLower(part), "0x"); ok {
			base, part = 16, rest
		} else if part[0] == '0' && len(part) > 1 {
			base, part = 8, part[1:]
		}
		if _, err := strconv.ParseUint(part, base, bits); err != nil {
			return false
		}
	}
	return true
}

func FuzzNormalizeHost(f *testing.F) {
	for _, s := range []string{
		"example.com", "EXAMPLE.com.", "bücher.example", "xn--bcher-kva.example", "127.0.0.1", "0x7f.1", "２１３０７０６４３３",
		"[::1]", "_a.b", "a。b", "xn--", "ﬀ.test", "ß", "a\u00adb.test", "א.test", "1.א",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := NormalizeHost(in)
		if err != nil {
			return
		}
		again, err := NormalizeHost(got)
		if err != nil || again != got {
			t.Errorf("NormalizeHost(%q) = %q, and of that %q, %v", in, got, again, err)
		}
		if net.ParseIP(got) != nil || inetAton(got) {
			t.Errorf("NormalizeHost(%q) = %q, an address", in, got)
		}
		if len(got) > maxHost || got != strings.ToLower(got) || strings.ContainsAny(got, " @/%:[]\\\r\n\x00") {
			t.Errorf("NormalizeHost(%q) = %q", in, got)
		}
	})
}
