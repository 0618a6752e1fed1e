package policy

import (
	"fmt"
	"net/netip"
)

// AddressError says why an address is not dialled.
type AddressError struct {
	Addr netip.Addr
	Kind string // "private", "loopback" and so on
}

// Error implements error.
func (e *AddressError) Error() string {
	return fmt.Sprintf("address %s is not on the public internet (%s)", e.Addr, e.Kind)
}

type addressRange struct {
	prefix netip.Prefix
	kind   string
}

// refusedV4 and refusedV6 are read-only tables, first match wins.
//
//nolint:gochecknoglobals // read-only tables, parsed once
var refusedV4 = ranges(
	"0.0.0.0/32", "unspecified",
	"0.0.0.0/8", "this network, RFC 791",
	"10.0.0.0/8", "private, RFC 1918",
	"100.100.100.200/32", "cloud metadata",
	"100.64.0.0/10", "carrier-grade NAT, RFC 6598",
	"127.0.0.0/8", "loopback",
	"168.63.129.16/32", "cloud metadata",
	"169.254.169.254/32", "cloud metadata",
	"169.254.0.0/16", "link-local, RFC 3927",
	"172.16.0.0/12", "private, RFC 1918",
	"192.0.0.192/32", "cloud metadata",
	"192.0.0.0/24", "IETF protocol assignments, RFC 6890",
	"192.0.2.0/24", "documentation, RFC 5737",
	"192.88.99.0/24", "6to4 relay, RFC 7526",
	"192.168.0.0/16", "private, RFC 1918",
	"198.18.0.0/15", "benchmarking, RFC 2544",
	"198.51.100.0/24", "documentation, RFC 5737",
	"203.0.113.0/24", "documentation, RFC 5737",
	"224.0.0.0/4", "multicast, RFC 5771",
	"255.255.255.255/32", "broadcast, RFC 919",
	"240.0.0.0/4", "reserved, RFC 1112",
)

//nolint:gochecknoglobals // as above
var refusedV6 = ranges(
	"::/128", "unspecified",
	"::1/128", "loopback",
	"::/96", "IPv4-compatible, RFC 4291",
	"::ffff:0:0:0/96", "IPv4-translated, RFC 2765",
	"64:ff9b:1::/48", "local-use NAT64, RFC 8215",
	"100::/64", "discard-only, RFC 6666",
	"2001::/32", "Teredo, RFC 4380",
	"2001::/23", "IETF protocol assignments, RFC 2928",
	"2001:db8::/32", "documentation, RFC 3849",
	"2002::/16", "6to4, RFC 3056",
	"3fff::/20", "documentation, RFC 9637",
	"5f00::/16", "segment routing, RFC 9602",
	"fd00:ec2::254/128", "cloud metadata",
	"fd20:ce::254/128", "cloud metadata",
	"fc00::/7", "unique local, RFC 4193",
	"fe80::/10", "link-local, RFC 4291",
	"fec0::/10", "site-local, RFC 3879",
	"ff00::/8", "multicast, RFC 4291",
)

func ranges(pairs ...string) []addressRange {
	out := make([]addressRange, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, addressRange{netip.MustParsePrefix(pairs[i]), pairs[i+1]})
	}
	return out
}

// CheckAddress refuses every address that is not a public unicast one: what
// the IANA special-purpose address registries for IPv4 and IPv6
// (RFC 6890, iana.org/assignments/iana-ipv4-special-registry and
// iana-ipv6-special-registry) call not globally reachable, the metadata
// services of clouds, and every IPv6 form that stands for an IPv4 address,
// except NAT64 (64:ff9b::/96), where the embedded address is judged: in an
// IPv6-only network it is how the public IPv4 internet is reached. Of IPv6
// only 2000::/3 has been assigned for unicast, so the rest is refused too.
//
// An IPv4-mapped address is refused as such: unmap it first if that is meant.
func CheckAddress(addr netip.Addr) error {
	var kind string
	switch {
	case !addr.IsValid():
		kind = "not an address"
	case addr.Zone() != "":
		kind = "it has a zone"
	case addr.Is4():
		kind = kindIn(refusedV4, addr)
	case addr.Is4In6():
		kind = "IPv4-mapped, RFC 4291"
	default:
		kind = kindV6(addr)
	}
	if kind == "" {
		return nil
	}
	return &AddressError{Addr: addr, Kind: kind}
}

func kindIn(table []addressRange, addr netip.Addr) string {
	for _, r := range table {
		if r.prefix.Contains(addr) {
			return r.kind
		}
	}
	return ""
}

func kindV6(addr netip.Addr) string {
	if kind := kindIn(refusedV6, addr); kind != "" {
		return kind
	}
	b := addr.As16()
	embedded := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}:
		if kind := kindIn(refusedV4, embedded); kind != "" {
			return "NAT64 of " + embedded.String() + ": " + kind
		}
		return ""
	case b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return "ISATAP, RFC 5214"
	case b[0]>>5 != 1:
		return "not assigned for unicast"
	}
	return ""
}
