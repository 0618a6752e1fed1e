package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"agentprocess/internal/execx"
)

// egressWorld is everything that the egress section starts.
type egressWorld struct {
	dir    string
	self   string // the bench's own executable
	origin ready
	roots  *x509.CertPool // of the origin
	ca     authority
	procs  []*execx.Process
	files  []*os.File
}

// proxied is one way to the origin: directly, or through a process.
type proxied struct {
	name string
	err  error // why it is left out
	proc *execx.Process
	// proxy is where it listens; empty is the direct way.
	proxy string
	// What to ask it for.
	raw, tls, web string // authorities
	// closes is set when it ends a connection after one plain request without
	// saying so.
	closes bool
	// opened is the host whose TLS it opens, and opens who vouches for that;
	// nil when it opens none.
	opened string
	opens  *x509.CertPool
}

// authority is a certificate authority for the origin, and for squid.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority() (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return authority{cert: cert, key: key, pem: certPEM(der)}, err
}

// leaf makes the origin's certificate.
func (a authority) leaf() (cert, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{rawHost, tlsHost, openHost, webHost},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		return "", "", err
	}
	key, err = keyPEM(k)
	return certPEM(der), key, err
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func keyPEM(k *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
}

// newEgressWorld starts the origin.
func (b *bench) newEgressWorld(ctx context.Context) (w *egressWorld, err error) {
	w = &egressWorld{dir: filepath.Join(b.dir, "egress"), roots: x509.NewCertPool()}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		return nil, err
	}
	if w.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if w.ca, err = newAuthority(); err != nil {
		return nil, err
	}
	w.roots.AddCert(w.ca.cert)
	o := orders{}
	if o.Cert, o.Key, err = w.ca.leaf(); err != nil {
		return nil, err
	}
	_, w.origin, err = w.own(ctx, "origin", o)
	return w, err
}

// own starts the bench's own executable as a server and reads where it listens.
func (w *egressWorld) own(ctx context.Context, kind string, o orders) (*execx.Process, ready, error) {
	stdin, hold, err := os.Pipe()
	if err != nil {
		return nil, ready{}, err
	}
	defer func() { _ = stdin.Close() }()
	w.files = append(w.files, hold)
	said, out, err := os.Pipe()
	if err != nil {
		return nil, ready{}, err
	}
	defer func() { _ = said.Close() }()
	p, err := execx.Start(ctx, execx.Cmd{Argv: []string{w.self, egressVerb, kind}, Env: os.Environ(), Stdin: stdin, Stdout: out})
	_ = out.Close() // ours of the two
	if err != nil {
		return nil, ready{}, err
	}
	w.procs = append(w.procs, p)
	if err := json.NewEncoder(hold).Encode(o); err != nil {
		return nil, ready{}, err
	}
	var r ready
	if err := said.SetReadDeadline(time.Now().Add(startPatience)); err != nil {
		return nil, ready{}, err
	}
	if err := json.NewDecoder(said).Decode(&r); err != nil {
		return nil, ready{}, fmt.Errorf("%s does not say where it listens: %w", kind, err)
	}
	return p, r, nil
}

// startPatience bounds the wait for a server.
const startPatience = 20 * time.Second

// stop ends everything by its process id and waits for it.
func (w *egressWorld) stop() {
	for _, f := range w.files {
		_ = f.Close() // our own servers end with it
	}
	for _, p := range w.procs {
		_ = p.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = p.Wait()                  // by a signal: its status says so
	}
}

// direct is the way without a proxy.
func (w *egressWorld) direct() *proxied {
	return &proxied{
		name: "direct", raw: w.origin.Raw, tls: w.origin.TLS, web: w.origin.Web,
		opened: openHost, opens: w.roots,
	}
}

// plain is the plain Go proxy.
func (w *egressWorld) plain(ctx context.Context) *proxied {
	p, r, err := w.own(ctx, "plain", orders{})
	return &proxied{name: plainGo, err: err, proc: p, proxy: r.Proxy, raw: w.origin.Raw, tls: w.origin.TLS}
}

// gateway is ours.
func (w *egressWorld) gateway(ctx context.Context) *proxied {
	o := orders{Dir: w.dir, CA: w.ca.pem, Raw: w.origin.Raw, TLS: w.origin.TLS, Web: w.origin.Web}
	p, r, err := w.own(ctx, "gateway", o)
	out := &proxied{
		name: ours, err: err, proc: p, proxy: r.Proxy,
		raw: net.JoinHostPort(rawHost, rawPort), tls: tlsHost + ":443", web: webHost,
		opened: openHost + ":443", opens: x509.NewCertPool(),
	}
	if err == nil && !out.opens.AppendCertsFromPEM([]byte(r.CA)) {
		out.err = errors.New("the gateway's CA does not parse")
	}
	return out
}

// peer starts somebody else's proxy, whose configuration names its port.
func (w *egressWorld) peer(ctx context.Context, name, packages string, argv []string, config func(port string) string) *proxied {
	out := &proxied{name: name, raw: w.origin.Raw, tls: w.origin.TLS, web: w.origin.Web}
	if _, err := lookPath(argv[0]); err != nil {
		out.err = fmt.Errorf("no %s: apt-get install %s", argv[0], packages)
		return out
	}
	out.err = w.startPeer(ctx, out, argv, config)
	return out
}

// lookPath also looks where daemons are.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

func (w *egressWorld) startPeer(ctx context.Context, out *proxied, argv []string, config func(port string) string) error {
	l, err := loopback(ctx) // a free port: the peer is told, and takes it a moment later
	if err != nil {
		return err
	}
	out.proxy = l.Addr().String()
	_, port, err := net.SplitHostPort(out.proxy)
	if err := errors.Join(err, l.Close()); err != nil {
		return err
	}
	path := filepath.Join(w.dir, port+".conf")
	if err := os.WriteFile(path, []byte(config(port)), 0o644); err != nil {
		return err
	}
	program, err := lookPath(argv[0])
	if err != nil {
		return err
	}
	out.proc, err = execx.Start(ctx, execx.Cmd{Argv: append(append([]string{program}, argv[1:]...), path), Env: os.Environ()})
	if err != nil {
		return err
	}
	w.procs = append(w.procs, out.proc)
	return answers(ctx, out.proxy)
}

// answers waits until somebody listens.
func answers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// tinyproxy logs errors only, which favours it: as Debian has it, it waits for
// the disk at every line.
func (w *egressWorld) tinyproxy(ctx context.Context) *proxied {
	out := w.peer(ctx, "tinyproxy", "tinyproxy-bin", []string{"tinyproxy", "-d", "-c"}, func(port string) string {
		return "Port " + port + "\nListen 127.0.0.1\nAllow 127.0.0.1\nMaxClients 12000\nTimeout 600\nDisableViaHeader Yes\nLogLevel Critical\nLogFile \"/dev/null\"\n"
	})
	out.closes = true
	return out
}

// squid neither caches nor logs, which favours it.
func (w *egressWorld) squid(ctx context.Context) *proxied {
	dir, err := w.squidDir("squid")
	if err != nil {
		return &proxied{name: "squid", err: err}
	}
	return w.peer(ctx, "squid", "squid-openssl", []string{"squid", "-N", "-f"}, func(port string) string {
		return "http_port 127.0.0.1:" + port + "\n" + squidConfig(dir)
	})
}

func squidConfig(dir string) string {
	return `http_access allow all
cache deny all
cache_mem 8 MB
access_log none
cache_store_log none
cache_log ` + dir + `/cache.log
coredump_dir ` + dir + `
hosts_file ` + dir + `/hosts
pid_filename none
max_filedescriptors 20000
shutdown_lifetime 0 seconds
read_timeout 10 minutes
via off
forwarded_for delete
pinger_enable off
`
}

// squidDir is a directory that squid may write to as whom it becomes.
func (w *egressWorld) squidDir(name string) (string, error) {
	dir := filepath.Join(w.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte("127.0.0.1 "+openHost+"\n"), 0o644); err != nil {
		return "", err
	}
	return dir, squidOwns(dir)
}

// squidOwns gives a path to Debian's user for squid, which it becomes when it
// is started as root.
func squidOwns(path string) error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("proxy")
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return filepath.WalkDir(path, func(p string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(p, uid, gid))
	})
}

// bump is squid with ssl-bump, its certificates cached.
func (w *egressWorld) bump(ctx context.Context) *proxied {
	out := &proxied{name: bumped}
	certgen := "/usr/lib/squid/security_file_certgen"
	if _, err := os.Stat(certgen); err != nil {
		out.err = errors.New("no security_file_certgen: apt-get install squid-openssl")
		return out
	}
	dir, err := w.squidDir("bump")
	if err == nil {
		err = w.bumpFiles(ctx, dir, certgen)
	}
	if err != nil {
		out.err = err
		return out
	}
	out = w.peer(ctx, bumped, "squid-openssl", []string{"squid", "-N", "-f"}, func(port string) string {
		return "http_port 127.0.0.1:" + port + " ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB tls-cert=" + dir + "/ca.pem\n" +
			"sslcrtd_program " + certgen + " -s " + dir + "/db -M 4MB\n" +
			"acl hello at_step SslBump1\nssl_bump peek hello\nssl_bump bump all\n" +
			"tls_outgoing_options cafile=" + dir + "/roots.pem\n" + squidConfig(dir)
	})
	_, port, err := net.SplitHostPort(w.origin.TLS)
	out.err = errors.Join(out.err, err)
	out.opened, out.opens = net.JoinHostPort(openHost, port), w.roots
	return out
}

func (w *egressWorld) bumpFiles(ctx context.Context, dir, certgen string) error {
	key, err := keyPEM(w.ca.key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(w.ca.pem+key), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "roots.pem"), []byte(w.ca.pem), 0o600); err != nil {
		return err
	}
	var talk bytes.Buffer
	err = execx.Run(ctx, execx.Cmd{Argv: []string{certgen, "-c", "-s", filepath.Join(dir, "db"), "-M", "4MB"}, Env: os.Environ(), Stdout: &talk})
	if err != nil {
		return err
	}
	return squidOwns(dir)
}
