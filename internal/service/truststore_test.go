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
		want := 2
		if f.Path == caPath {
			want = 1
		}
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
