package service

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"agentprocess/internal/scripted"
)

func TestTrustFiles(t *testing.T) {
	var authorities [2][]byte
	for i := range authorities {
		a, err := scripted.NewAuthority(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		authorities[i] = a.PEM()
	}
	own := filepath.Join(t.TempDir(), "own.pem")
	if err := os.WriteFile(own, authorities[0], 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(Deps{Environ: []string{"SSL_CERT_FILE=" + own}})
	files, err := s.trustFiles(authorities[1], true)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var got []*x509.Certificate
		if f.Path == storePath {
			if got, err = pkcs12.DecodeTrustStore(f.Data, storePassword); err != nil {
				t.Fatal(err)
			}
		} else {
			for rest := f.Data; ; {
				var block *pem.Block
				if block, rest = pem.Decode(rest); block == nil {
					break
				}
				cert, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, cert)
			}
		}
		const want = 2 // the host's own, which Node is told of as well, and the gateway's
		if len(got) != want || !slices.ContainsFunc(got, func(c *x509.Certificate) bool {
			block, _ := pem.Decode(authorities[1])
			return bytes.Equal(c.Raw, block.Bytes)
		}) {
			t.Errorf("%s holds %d certificates, want %d with the gateway's", f.Path, len(got), want)
		}
	}
	if plain, err := s.trustFiles(authorities[1], false); err != nil || len(plain) != len(files)-1 {
		t.Errorf("without Java there are %d files, with it %d: %v", len(plain), len(files), err)
	}
}

// The certificates that a network puts in front of everything are trusted
// inside and by the gateway as they are on the host.
func TestExtraCertificatesOfTheHost(t *testing.T) {
	a, err := scripted.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	extra := filepath.Join(t.TempDir(), "extra.pem")
	if err := os.WriteFile(extra, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := New(Deps{Environ: []string{"NODE_EXTRA_CA_CERTS="}})
	if plain.ownTrust() || plain.roots() != nil {
		t.Errorf("without extra certificates: own trust %t, roots %v, want the system's", plain.ownTrust(), plain.roots())
	}
	s := New(Deps{Environ: []string{"SSL_CERT_FILE=" + os.DevNull, "NODE_EXTRA_CA_CERTS=" + extra}})
	if !s.ownTrust() {
		t.Error("extra certificates are not seen")
	}
	files, err := s.trustFiles(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !bytes.Contains(f.Data, bytes.TrimSpace(a.PEM())) {
			t.Errorf("%s holds nothing of the host's own", f.Path)
		}
	}
	leaf, err := a.Certificate("api.example")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(leaf.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: "api.example", Roots: s.roots()}); err != nil {
		t.Errorf("the gateway does not trust what the host does: %v", err)
	}
}

func TestTrustEnvNamesFilesThatAreThere(t *testing.T) {
	for _, java := range []bool{false, true} {
		env := trustEnv(java)
		for _, kv := range env {
			if !strings.Contains(kv, caPath) && !strings.Contains(kv, bundlePath) && !strings.Contains(kv, storePath) && !strings.HasPrefix(kv, "DENO_TLS_CA_STORE=") {
				t.Errorf("%s names nothing of ours", kv)
			}
		}
		if got := slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "JAVA_TOOL_OPTIONS=") }); got != java {
			t.Errorf("trustEnv(%t) tells Java: %t", java, got)
		}
	}
}
