package proxy

import (
	"bufio"
	"io"
	"sync"
)

// h1Pool keeps the buffers of HTTP/1 connections for the next ones. A pair is
// given back only when nobody can read or write through it any more, and keeps
// nothing of the connection it had.
type h1Pool struct{ readers, writers sync.Pool }

//nolint:gochecknoglobals // a pool is shared by nature
var h1Buffers h1Pool

// take gives a reader and a writer for one connection.
func (p *h1Pool) take(conn io.ReadWriter) (*bufio.Reader, *bufio.Writer) {
	br, ok1 := p.readers.Get().(*bufio.Reader)
	bw, ok2 := p.writers.Get().(*bufio.Writer)
	if !ok1 {
		br = bufio.NewReaderSize(nil, h1Buffer)
	}
	if !ok2 {
		bw = bufio.NewWriterSize(nil, h1Buffer)
	}
	br.Reset(conn)
	bw.Reset(conn)
	return br, bw
}

// give takes them back; a reader that had to grow is left to the collector.
func (p *h1Pool) give(br *bufio.Reader, bw *bufio.Writer) {
	if br.Size() == h1Buffer {
		br.Reset(nil)
		p.readers.Put(br)
	}
	bw.Reset(nil)
	p.writers.Put(bw)
}

const pumpBuffer = 32 << 10

//nolint:gochecknoglobals // a pool is shared by nature
var buffers = sync.Pool{New: func() any { b := make([]byte, pumpBuffer); return &b }}

func getBuffer() *[]byte {
	b, ok := buffers.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, pumpBuffer)
		return &fresh
	}
	return b
}

func putBuffer(b *[]byte) { buffers.Put(b) }
