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

// pipes are what a server splices with: so many and no more, because each
// takes two descriptors, and kept, because they cost.
type pipes struct{ free chan *pipe }

func newPipes(most int) *pipes {
	p := &pipes{free: make(chan *pipe, most)}
	for range most {
		p.free <- nil // to be made when it is needed
	}
	return p
}

// take gives a pipe, or nil when there is none.
func (p *pipes) take() *pipe {
	select {
	case one := <-p.free:
		if one == nil {
			one = newPipe()
		}
		if one == nil {
			p.free <- nil
		}
		return one
	default:
		return nil
	}
}

// give takes a pipe back, which is closed if something is left in it.
func (p *pipes) give(one *pipe, empty bool) {
	if !empty {
		one.close()
		one = nil
	}
	p.free <- one
}

// close closes those that nobody has.
func (p *pipes) close() {
	for range len(p.free) {
		if one := <-p.free; one != nil {
			one.close()
		}
		p.free <- nil
	}
}
