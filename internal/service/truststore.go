package service

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"agentprocess/internal/sandbox"
)

// Where the gateway's own certificates stand inside.
const (
	caPath     = sandbox.RunDir + "/ca.pem"        // ours alone
	bundlePath = sandbox.RunDir + "/ca-bundle.pem" // ours and the system's
	storePath  = sandbox.RunDir + "/ca-bundle.p12" // the same, for Java
)

// storePassword is what every Java truststore has: it protects nothing.
const storePassword = "changeit"

// systemStores are where programs look that no variable tells.
func systemStores() []string {
	return []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem"}
}

// bundleVars are the variables that name a file of all certificates.
func bundleVars() []string {
	return []string{
		"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE",
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "HTTPLIB2_CA_CERTS", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "BUNDLE_SSL_CA_CERT", "NIX_SSL_CERT_FILE",
		"PERL_LWP_SSL_CA_FILE", "HEX_CACERTS_PATH", "npm_config_cafile", "YARN_HTTPS_CA_FILE_PATH",
	}
}

// trustEnv makes the tools of every language trust the gateway's certificate.
func trustEnv(java bool) []string {
	env := []string{"NODE_EXTRA_CA_CERTS=" + caPath, "DENO_CERT=" + caPath, "DENO_TLS_CA_STORE=mozilla,system"}
	for _, v := range bundleVars() {
		env = append(env, v+"="+bundlePath)
	}
	if java {
		env = append(env, "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore="+storePath+" -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword="+storePassword)
	}
	return env
}

// trustFiles are the certificates that are trusted inside: the gateway's, and
// those of this host for hosts that are not opened.
func (s *Service) trustFiles(ca []byte, java bool) ([]sandbox.File, error) {
	bundle := append(append(systemBundle(s), '\n'), ca...)
	files := []sandbox.File{{Path: caPath, Data: ca}, {Path: bundlePath, Data: bundle}}
	seen := map[string]bool{}
	for _, path := range systemStores() {
		target, err := filepath.EvalSymlinks(path)
		if err != nil || seen[target] || !strings.HasPrefix(target, "/etc/ssl/") && !strings.HasPrefix(target, "/etc/pki/") {
			continue // a host has one of them
		}
		seen[target] = true
		files = append(files, sandbox.File{Path: target, Data: bundle})
	}
	if !java {
		return files, nil
	}
	store, err := javaStore(bundle)
	if err != nil {
		return nil, fmt.Errorf("make a truststore for Java: %w", err)
	}
	return append(files, sandbox.File{Path: storePath, Data: store}), nil
}

// javaStore writes certificates as a truststore.
func javaStore(bundle []byte) ([]byte, error) {
	var certs []*x509.Certificate
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		// A host's bundle may hold what Go cannot read; others need it no more.
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
	return pkcs12.Modern.EncodeTrustStore(certs, storePassword)
}

// hasJava reports whether a Java is on a path: its truststore takes a while to
// make.
func hasJava(toolPath string) bool {
	for _, dir := range filepath.SplitList(toolPath) {
		if info, err := os.Stat(filepath.Join(dir, "java")); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// systemBundle reads the certificates that this host trusts, which stay
// trusted inside for hosts that are not opened.
func systemBundle(s *Service) []byte {
	paths := systemStores()
	if own, ok := s.lookup("SSL_CERT_FILE"); ok {
		paths = append([]string{own}, paths...)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err == nil {
			return bytes.TrimSpace(data)
		}
	}
	return nil // a host without certificates trusts nobody, inside too
}
