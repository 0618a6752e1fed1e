package reference

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParse(t *testing.T) {
	for in, want := range map[string]struct{ whole, familiar string }{
		"debian":                                  {"docker.io/library/debian", "debian"},
		"debian:12":                               {"docker.io/library/debian:12", "debian:12"},
		"debian@" + sum:                           {"docker.io/library/debian@" + sum, "debian@" + sum},
		"debian:12@" + sum:                        {"docker.io/library/debian:12@" + sum, "debian:12@" + sum},
		"library/debian":                          {"docker.io/library/debian", "debian"},
		"docker.io/debian":                        {"docker.io/library/debian", "debian"},
		"index.docker.io/debian":                  {"docker.io/library/debian", "debian"},
		"someone/tool":                            {"docker.io/someone/tool", "someone/tool"},
		"library/a/b":                             {"docker.io/library/a/b", "library/a/b"},
		"localhost/tool":                          {"localhost/tool", "localhost/tool"},
		"localhost:5000/tool:1":                   {"localhost:5000/tool:1", "localhost:5000/tool:1"},
		"Registry/tool":                           {"Registry/tool", "Registry/tool"},
		"registry.example/team/tool:v1.2_3-x":     {"registry.example/team/tool:v1.2_3-x", "registry.example/team/tool:v1.2_3-x"},
		"192.0.2.1:80/a":                          {"192.0.2.1:80/a", "192.0.2.1:80/a"},
		"[2001:db8::1]:5000/a":                    {"[2001:db8::1]:5000/a", "[2001:db8::1]:5000/a"},
		"a_b__c---d/e.f":                          {"docker.io/a_b__c---d/e.f", "a_b__c---d/e.f"},
		"x:" + strings.Repeat("t", maxTag):        {"docker.io/library/x:" + strings.Repeat("t", maxTag), "x:" + strings.Repeat("t", maxTag)},
		strings.Repeat("a", identifierLen-1):      {"docker.io/library/" + strings.Repeat("a", identifierLen-1), strings.Repeat("a", identifierLen-1)},
		strings.Repeat("a", identifierLen) + "/b": {"docker.io/" + strings.Repeat("a", identifierLen) + "/b", strings.Repeat("a", identifierLen) + "/b"},
	} {
		got, err := ParseNormalizedNamed(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got.String() != want.whole || FamiliarString(got) != want.familiar {
			t.Errorf("%s: %s and %s, wanted %s and %s", in, got, FamiliarString(got), want.whole, want.familiar)
		}
		again, err := ParseNormalizedNamed(got.String())
		if err != nil || again != got {
			t.Errorf("%s read again: %v, %v", got, again, err)
		}
	}
}

func TestRefuse(t *testing.T) {
	for _, in := range []string{
		"", "/", "a/", "/a", "a//b", ":1", "a:", "a:.x", "a:-x", "a:b c", "a:ä", "A", "a/B", "host.example/", "-a", "a-", ".a", "a..b", "a___b", "a._b", "a_-b",
		"host.example:port/a", "host..example/a", "-host.example/a", "host-.example/a", "[2001:db8::1/a", "[fe80::1%eth0]/a", "[192.0.2.1]/a",
		"a@", "a@sha256:00", "a@" + sum + "0", "@" + sum, "a@md5:00", "a\x00", "a\n", " a", "a ", "../a",
		"a.b_c/d", strings.Repeat("a", identifierLen), "x:" + strings.Repeat("t", maxTag+1), strings.Repeat("b", maxName),
	} {
		if got, err := ParseNormalizedNamed(in); err == nil {
			t.Errorf("%q is %s", in, got)
		}
	}
}

// What the client asks by type is what the name has.
func TestParts(t *testing.T) {
	for in, want := range map[string]struct {
		tag    string
		digest digest.Digest
	}{"a": {}, "a:1": {tag: "1"}, "a@" + sum: {digest: sum}, "a:1@" + sum: {"1", sum}} {
		ref, err := ParseNormalizedNamed(in)
		if err != nil {
			t.Fatal(err)
		}
		tag, digested := "", digest.Digest("")
		if x, ok := ref.(Tagged); ok {
			tag = x.Tag()
		}
		if x, ok := ref.(Digested); ok {
			digested = x.Digest()
		}
		if tag != want.tag || digested != want.digest {
			t.Errorf("%s has tag %q and digest %q", in, tag, digested)
		}
	}
}

func TestComplete(t *testing.T) {
	const other = digest.Digest("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	for in, want := range map[string]struct{ latest, other string }{
		"a":          {"docker.io/library/a:latest", "docker.io/library/a@" + string(other)},
		"a:1":        {"docker.io/library/a:1", "docker.io/library/a:1@" + string(other)},
		"a@" + sum:   {"docker.io/library/a@" + sum, "docker.io/library/a@" + string(other)},
		"a:1@" + sum: {"docker.io/library/a:1@" + sum, "docker.io/library/a:1@" + string(other)},
	} {
		ref, err := ParseNormalizedNamed(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := WithDigest(ref, other)
		if err != nil || got.String() != want.other || TagNameOnly(ref).String() != want.latest {
			t.Errorf("%s: %v (%v) and %s", in, got, err, TagNameOnly(ref))
		}
		if _, err := WithDigest(ref, "sha256:0"); err == nil {
			t.Errorf("%s takes a digest that is none", in)
		}
	}
}

func TestParseAny(t *testing.T) {
	digits := strings.TrimPrefix(sum, "sha256:")
	for in, want := range map[string]string{digits: sum, sum: sum, "a": "docker.io/library/a"} {
		if got, err := ParseAnyReference(in); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	if _, err := ParseAnyReference("A"); err == nil {
		t.Error("A is a reference")
	}
}

// FuzzParse: what is taken reads the same again, and nothing makes it panic.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a", "a:1@" + sum, "[2001:db8::1]:5000/a", "a..b", "@", ":", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseNormalizedNamed(s)
		if err != nil {
			return
		}
		for _, form := range []string{ref.String(), FamiliarString(ref)} {
			if again, err := ParseNormalizedNamed(form); err != nil || again != ref {
				t.Errorf("%q: %s reads as %v, %v", s, form, again, err)
			}
		}
	})
}
