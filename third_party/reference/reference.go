package reference

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// What a name is completed with, as the Docker command line does.
const (
	defaultDomain = "docker.io"
	legacyDomain  = "index.docker.io" // another name of it
	officialPath  = "library/"
	defaultTag    = "latest"
)

// maxName is how many bytes domain and path may have, as registries limit it.
const maxName = 255

// Reference is a name, or an identifier of an image.
type Reference interface{ String() string }

// Named is a reference with a complete name.
type Named interface {
	Reference
	Name() string // domain/path
}

// Tagged is a reference with a tag.
type Tagged interface {
	Reference
	Tag() string
}

// Digested is a reference with a digest.
type Digested interface {
	Reference
	Digest() digest.Digest
}

// name is a Named without tag or digest. The types below add them: who uses
// them asks by type what a reference has.
type name struct{ domain, path string }

func (n name) Name() string   { return n.domain + "/" + n.path }
func (n name) String() string { return n.Name() }

func (n name) familiar() string {
	if n.domain != defaultDomain {
		return n.Name()
	}
	if short, ok := strings.CutPrefix(n.path, officialPath); ok && !strings.Contains(short, "/") {
		return short
	}
	return n.path
}

type tagged struct {
	name
	tag string
}

func (t tagged) Tag() string      { return t.tag }
func (t tagged) String() string   { return t.Name() + ":" + t.tag }
func (t tagged) familiar() string { return t.name.familiar() + ":" + t.tag }

type digested struct {
	name
	digest digest.Digest
}

func (d digested) Digest() digest.Digest { return d.digest }
func (d digested) String() string        { return d.Name() + "@" + d.digest.String() }
func (d digested) familiar() string      { return d.name.familiar() + "@" + d.digest.String() }

type both struct {
	tagged
	digest digest.Digest
}

func (b both) Digest() digest.Digest { return b.digest }
func (b both) String() string        { return b.tagged.String() + "@" + b.digest.String() }
func (b both) familiar() string      { return b.tagged.familiar() + "@" + b.digest.String() }

// identifier is an image by its own digest.
type identifier digest.Digest

func (i identifier) Digest() digest.Digest { return digest.Digest(i) }
func (i identifier) String() string        { return string(i) }

// ParseNormalizedNamed reads a name and completes it. An identifier is an
// error.
func ParseNormalizedNamed(s string) (Named, error) {
	if isIdentifier(s) {
		return nil, fmt.Errorf("%q is an identifier of an image, not a name", s)
	}
	rest, sum, hasSum := strings.Cut(s, "@")
	if hasSum {
		if err := digest.Digest(sum).Validate(); err != nil {
			return nil, fmt.Errorf("image name %q: %w", s, err)
		}
	}
	rest, tag, hasTag := cutTag(rest)
	if hasTag && !isTag(tag) {
		return nil, fmt.Errorf("image name %q: tag %q", s, tag)
	}
	n, err := complete(rest)
	if err != nil {
		return nil, fmt.Errorf("image name %q: %w", s, err)
	}
	switch {
	case hasTag && hasSum:
		return both{tagged{n, tag}, digest.Digest(sum)}, nil
	case hasTag:
		return tagged{n, tag}, nil
	case hasSum:
		return digested{n, digest.Digest(sum)}, nil
	}
	return n, nil
}

// ParseAnyReference reads a name, or an identifier with or without its
// algorithm.
func ParseAnyReference(s string) (Reference, error) {
	if isIdentifier(s) {
		return identifier(digest.NewDigestFromEncoded(digest.SHA256, s)), nil
	}
	if sum, err := digest.Parse(s); err == nil {
		return identifier(sum), nil
	}
	return ParseNormalizedNamed(s)
}

// TagNameOnly gives a name that has neither tag nor digest the tag latest.
func TagNameOnly(ref Named) Named {
	if n, ok := ref.(name); ok {
		return tagged{n, defaultTag}
	}
	return ref
}

// WithDigest is the reference with a digest in place of the one it may have.
func WithDigest(ref Named, sum digest.Digest) (Named, error) {
	if err := sum.Validate(); err != nil {
		return nil, err
	}
	switch r := ref.(type) {
	case name:
		return digested{r, sum}, nil
	case tagged:
		return both{r, sum}, nil
	case digested:
		return digested{r.name, sum}, nil
	case both:
		return both{r.tagged, sum}, nil
	}
	return nil, fmt.Errorf("%q was not read by this package", ref)
}

// FamiliarString is the reference as short as a person would write it.
func FamiliarString(ref Reference) string {
	if r, ok := ref.(interface{ familiar() string }); ok {
		return r.familiar()
	}
	return ref.String()
}

// complete reads [domain/]path.
func complete(s string) (name, error) {
	n := name{domain: defaultDomain, path: s}
	// A first component is a domain when it cannot be one of a path.
	if first, rest, ok := strings.Cut(s, "/"); ok && (strings.ContainsAny(first, ".:") || first == "localhost" || strings.ToLower(first) != first) {
		n = name{domain: first, path: rest}
	}
	if n.domain == legacyDomain {
		n.domain = defaultDomain
	}
	if n.domain == defaultDomain && !strings.Contains(n.path, "/") {
		n.path = officialPath + n.path
	}
	switch {
	case strings.ToLower(n.path) != n.path:
		return n, fmt.Errorf("path %q has capital letters", n.path)
	case !isDomain(n.domain):
		return n, fmt.Errorf("domain %q", n.domain)
	case !isPath(n.path):
		return n, fmt.Errorf("path %q", n.path)
	case len(n.Name()) > maxName:
		return n, errors.New("longer than 255 bytes")
	}
	return n, nil
}

// cutTag cuts a tag off: what is behind the last colon of the last component.
func cutTag(s string) (rest, tag string, ok bool) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || strings.Contains(s[colon:], "/") {
		return s, "", false
	}
	return s[:colon], s[colon+1:], true
}
