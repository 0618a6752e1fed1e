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

// trustFiles are the certificates that are trusted inside: the gateway's, if
// it opens any host, and those of this host for hosts that are not opened.
func (s *Service) trustFiles(ca []byte, java bool) ([]sandbox.File, error) {
	ca = append(s.extraCAs(), ca...)
	bundle := append(append(systemBundle(s), '\n'), ca...)
	// Node looks nowhere else: where this host has certificates of its own, it is
	// told of all, also when some hosts are opened.
	if _, own := s.lookup(ownVar); own || len(ca) == 0 {
		ca = bundle
	}
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

// ownVar and extraVar are the variables by which a person says what this host trusts: in
// place of the system's certificates, and besides them, as Claude Code and all
// of Node read it.
const (
	ownVar   = "SSL_CERT_FILE"
	extraVar = "NODE_EXTRA_CA_CERTS"
)

// ownTrust reports whether this host trusts something that the files which the
// sandbox has from it do not say.
func (s *Service) ownTrust() bool {
	_, own := s.lookup(ownVar)
	return own || len(s.extraCAs()) > 0
}

// extraCAs are the certificates that this host trusts besides the system's.
func (s *Service) extraCAs() []byte {
	path, ok := s.lookup(extraVar)
	if !ok || path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil // so do the programs that this is for
	}
	return append(bytes.TrimSpace(data), '\n')
}

// roots verify hosts whose TLS is opened; nil is the system's.
func (s *Service) roots() *x509.CertPool {
	extra := s.extraCAs()
	if s.UpstreamRoots != nil || len(extra) == 0 {
		return s.UpstreamRoots
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil
	}
	pool.AppendCertsFromPEM(extra)
	return pool
}

// systemBundle reads the certificates that this host trusts, which stay
// trusted inside for hosts that are not opened.
func systemBundle(s *Service) []byte {
	paths := systemStores()
	if own, ok := s.lookup(ownVar); ok {
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
