package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// The operations on the control channel.
const (
	opMapped  = "mapped"  // to init: its namespace knows its ids
	opConfig  = "config"  // to init: payload initConfig, mounts
	opLimits  = "limits"  // to init: payload innerLimits; it may start programs
	opReady   = "ready"   // from init: report, listening sockets
	opFailed  = "failed"  // from init: it could not be set up
	opExec    = "exec"    // to init: payload execRequest, stdio
	opStarted = "started" // from init: with the terminal's master, or an error
	opSignal  = "signal"  // to init
	opExited  = "exited"  // from init
	opOOM     = "oom"     // from init: it killed a process for memory
)

// frameSize bounds one message; what may be bigger travels as a payload.
const frameSize = 64 << 10

// frameFiles is how many descriptors the kernel takes with one message.
const frameFiles = 253

// message is one frame on the control channel.
type message struct {
	Op     string      `json:"op"`
	ID     int         `json:"id,omitempty"`
	Signal int         `json:"signal,omitempty"`
	Code   int         `json:"code,omitempty"`
	Step   string      `json:"step,omitempty"`
	Error  string      `json:"error,omitempty"`
	Detail string      `json:"detail,omitempty"`
	Errno  int         `json:"errno,omitempty"`
	Report *initReport `json:"report,omitempty"`
}

// wire is one end of the control channel.
type wire struct {
	fd  int
	mu  sync.Mutex // one frame at a time
	buf []byte     // of recv, which one goroutine at a time is in
}

// newWires makes both ends; the second is for the child.
func newWires() (*wire, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make control channel: %w", err)
	}
	return &wire{fd: fds[0]}, os.NewFile(uintptr(fds[1]), "control"), nil
}

// send writes one frame with descriptors, which stay open here.
func (w *wire) send(m message, fds ...int) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Op, err)
	}
	if len(fds) > frameFiles {
		return fmt.Errorf("send %s: %d descriptors, at most %d fit", m.Op, len(fds), frameFiles)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		err := unix.Sendmsg(w.fd, data, oob, nil, unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sendPayload sends a frame whose first descriptor is a memory file with v.
func (w *wire) sendPayload(m message, v any, fds ...int) error {
	f, err := payload(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Op, err)
	}
	defer closeAll(f)
	return w.send(m, append([]int{f}, fds...)...)
}

// recv waits for a frame; io.EOF when the other end is gone.
func (w *wire) recv() (message, []int, error) {
	if w.buf == nil {
		w.buf = make([]byte, frameSize+unix.CmsgSpace(4*frameFiles))
	}
	buf, oob := w.buf[:frameSize], w.buf[frameSize:]
	for {
		n, oobn, flags, _, err := unix.Recvmsg(w.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
			return message{}, nil, io.EOF
		case err != nil:
			return message{}, nil, fmt.Errorf("read control channel: %w", err)
		}
		fds, err := rights(oob[:oobn])
		if err != nil {
			return message{}, nil, err
		}
		if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			closeAll(fds...)
			return message{}, nil, errors.New("read control channel: message too big")
		}
		var m message
		if err := json.Unmarshal(buf[:n], &m); err != nil {
			closeAll(fds...)
			return message{}, nil, fmt.Errorf("read control channel: %w", err)
		}
		return m, fds, nil
	}
}

// close ends it; nobody may be in recv. A later send fails: its number may be
// another file's by then.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	closeAll(w.fd)
	w.fd = -1
}

// shut ends the channel in both directions; a blocked recv returns.
func (w *wire) shut() { _ = unix.Shutdown(w.fd, unix.SHUT_RDWR) } // fails only when it is shut already

func rights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("read control channel: %w", err)
	}
	var fds []int
	for i := range msgs {
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // not descriptors
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// payload writes v to a memory file.
func payload(v any) (int, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return -1, err
	}
	fd, err := unix.MemfdCreate("payload", unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for off := 0; off < len(data); {
		n, err := unix.Pwrite(fd, data[off:], int64(off))
		if err != nil {
			closeAll(fd)
			return -1, err
		}
		off += n
	}
	return fd, nil
}

// readPayload reads what payload wrote and closes it.
func readPayload(fd int, v any) error {
	defer closeAll(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("read payload: %w", err)
	}
	data := make([]byte, st.Size)
	for off := 0; off < len(data); {
		n, err := unix.Pread(fd, data[off:], int64(off))
		if err != nil || n == 0 {
			return fmt.Errorf("read payload: %w", errors.Join(io.ErrUnexpectedEOF, err))
		}
		off += n
	}
	return json.Unmarshal(data, v)
}

// closeAll closes descriptors that are only held, never written through: an
// error of close tells nothing here.
func closeAll(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
