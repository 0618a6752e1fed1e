package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	"agentprocess/internal/policy"
)

// authority is a certificate authority of one run. Its key is in memory only,
// and it can vouch for the hosts it was made for and nothing else: that is in
// the certificate, for the day it is trusted somewhere it should not be.
type authority struct {
	pem  []byte
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	open []policy.Rule // the names it can vouch for

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// maxLeaves bounds the certificates that are kept: names below a wildcard are
// the client's to make up.
const maxLeaves = 1024

const (
	certAge  = time.Hour           // clocks differ
	certLife = 30 * 24 * time.Hour // longer than any run
)

// newAuthority makes the authority for some names, and a leaf for each host.
func newAuthority(open []policy.Rule, now time.Time) (*authority, error) {
	var hosts []string
	for _, r := range open {
		hosts = append(hosts, r.Name)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a CA key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:                big.NewInt(1),
		Subject:                     pkix.Name{CommonName: "agent-process gateway, this run only"},
		NotBefore:                   now.Add(-certAge),
		NotAfter:                    now.Add(certLife),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         hosts,
		ExcludedIPRanges:            everyAddress(),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a CA: %w", err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the CA back: %w", err)
	}
	a := &authority{
		pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		ca:  ca, key: key, open: open,
		leaves: map[string]*tls.Certificate{},
	}
	for _, r := range open {
		if r.Wildcard {
			continue
		}
		if _, err := a.leaf(r.Name); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// vouches reports whether the TLS of a host can be opened.
func (a *authority) vouches(host string) bool {
	return a != nil && slices.ContainsFunc(a.open, func(r policy.Rule) bool { return r.Names(host) })
}

// leaf is the certificate of a host, made when it is first wanted.
func (a *authority) leaf(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if leaf := a.leaves[host]; leaf != nil {
		return leaf, nil
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	leaf, err := newLeaf(a.ca, a.key, host, serial)
	if err == nil && len(a.leaves) < maxLeaves {
		a.leaves[host] = leaf
	}
	return leaf, err
}

func newLeaf(ca *x509.Certificate, caKey *ecdsa.PrivateKey, host string, serial *big.Int) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %q: %w", host, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"agent-process gateway, this run only"}},
		NotBefore:    ca.NotBefore,
		NotAfter:     ca.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{host},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %q: %w", host, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func everyAddress() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}
