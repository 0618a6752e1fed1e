package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// shortest is the length from which something is masked in bodies: shorter
// secrets would mask what is not one.
const shortest = 6

// echoes are the forms in which a host may send a secret back: as it is,
// escaped for JSON, for a query or a path, and in base64, alone, after a user
// name, or anywhere in a longer text.
func echoes(secret, user string) []string {
	quoted, err := json.Marshal(secret)
	discard(err) // a string can always be written
	out := []string{secret, strings.Trim(string(quoted), `"`), url.QueryEscape(secret), url.PathEscape(secret)}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if user != "" {
			out = append(out, enc.EncodeToString([]byte(user+":"+secret)))
		}
		for shift := range 3 {
			out = append(out, shifted(enc, secret, shift))
		}
	}
	out = slices.DeleteFunc(out, func(form string) bool { return len(form) < shortest })
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) }) // the longest first: others may be in it
	return slices.Compact(out)
}

// shifted is what of a text's base64 is the same whatever stands around it,
// when it begins shift bytes after a group of three.
func shifted(enc *base64.Encoding, text string, shift int) string {
	full := enc.EncodeToString([]byte(strings.Repeat("\x00", shift) + text))
	from := []int{0, 2, 3}[shift]
	to := (shift + len(text)) * 8 / 6
	if from >= to {
		return ""
	}
	return full[from:to]
}

// mask puts the placeholder back where the secret is.
func mask(header http.Header, credentials []Credential) {
	for _, values := range header {
		for i, value := range values {
			for _, c := range credentials {
				value = strings.ReplaceAll(value, c.Secret.Reveal(), c.Placeholder)
				for _, form := range c.masked.all() {
					value = strings.ReplaceAll(value, string(form), stars(form))
				}
			}
			values[i] = value
		}
	}
}

func stars(form []byte) string { return strings.Repeat("*", len(form)) }

// legible asks a host that holds secrets of ours to answer whole and in the
// clear, so that an echo can be seen whatever way it comes.
func legible(header http.Header) {
	header.Set("Accept-Encoding", "identity")
	header.Del("Range") // piece by piece it would come through
	header.Del("If-Range")
	header.Del("Sec-Websocket-Extensions") // compression
}

var errCoding = errors.New("the response is compressed in a way that cannot be looked into, by a host that has a secret and was asked not to")

// shroud masks secrets in a response's body. What is masked keeps its length.
func shroud(res *http.Response, credentials []Credential) error {
	if len(credentials) == 0 || res.Body == nil || res.Body == http.NoBody {
		return nil
	}
	if err := decode(res); err != nil {
		return err
	}
	m := &masker{src: res.Body}
	for _, c := range credentials {
		m.lists = append(m.lists, c.masked)
	}
	res.Body = m
	if w, ok := m.src.(io.Writer); ok { // what was HTTP, and is a websocket
		res.Body = struct {
			*masker
			io.Writer
		}{m, w}
	}
	return nil
}

// decode undoes the compression of a body, which nobody asked for.
func decode(res *http.Response) error {
	codings := strings.ToLower(strings.Join(res.Header.Values("Content-Encoding"), ","))
	switch strings.TrimSpace(codings) {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
	default:
		return fmt.Errorf("%w: %s", errCoding, printable(codings))
	}
	if res.Request.Method == http.MethodHead || res.StatusCode == http.StatusNotModified || res.StatusCode == http.StatusNoContent {
		return nil
	}
	res.Header.Del("Content-Encoding")
	res.Header.Del("Content-Length")
	res.ContentLength = -1
	res.Body = &unzipped{src: res.Body}
	return nil
}

// unzipped is a body without its compression.
type unzipped struct {
	src io.ReadCloser
	zip *gzip.Reader
}

// Read implements io.Reader.
func (u *unzipped) Read(p []byte) (int, error) {
	if u.zip == nil {
		var err error
		if u.zip, err = gzip.NewReader(u.src); err != nil {
			return 0, err
		}
	}
	return u.zip.Read(p)
}

// Close implements io.Closer.
func (u *unzipped) Close() error { return u.src.Close() }

// masker is a body in which secrets are stars. It holds back only what may be
// the beginning of one, so that a stream is as quick as without.
type masker struct {
	src   io.ReadCloser
	lists []*echoed
	buf   []byte
	ready []byte // of buf: to be read
	held  []byte // of buf, after ready: may be the beginning of a secret
	err   error
}

const maskBuffer = 16 << 10

// Read implements io.Reader.
func (m *masker) Read(p []byte) (int, error) {
	for len(m.ready) == 0 {
		if m.err != nil {
			return 0, m.err
		}
		m.fill()
	}
	n := copy(p, m.ready)
	m.ready = m.ready[n:]
	return n, nil
}

// Close implements io.Closer.
func (m *masker) Close() error { return m.src.Close() }

// fill reads once.
func (m *masker) fill() {
	buf, held := m.buf, m.held
	if len(buf) < maskBuffer+len(held) {
		buf = make([]byte, maskBuffer+len(held))
	}
	have := copy(buf, held)
	m.buf = buf
	n, err := m.src.Read(m.buf[have:])
	data := m.buf[:have+n]
	for _, list := range m.lists {
		for _, form := range list.all() {
			for at := 0; ; at += len(form) {
				found := bytes.Index(data[at:], form)
				if found < 0 {
					break
				}
				at += found
				copy(data[at:], stars(form))
			}
		}
	}
	keep := 0
	if m.err = err; err == nil {
		keep = m.begun(data)
	}
	m.ready, m.held = data[:len(data)-keep], data[len(data)-keep:]
}

// begun is how much at the end of data may be the beginning of a secret.
func (m *masker) begun(data []byte) int {
	most := 0
	for _, list := range m.lists {
		most = max(most, begins(data, list.all(), most))
	}
	return most
}

// begins is begun for one credential, if it is more than there is already.
func begins(data []byte, forms [][]byte, most int) int {
	for _, form := range forms {
		for n := min(len(form)-1, len(data)); n > most; n-- {
			if tail := data[len(data)-n:]; tail[0] == form[0] && bytes.HasPrefix(form, tail) {
				most = n
			}
		}
	}
	return most
}
