package pidone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"agentprocess/internal/sandbox"
)

// The operations on the control channel that a runtime takes part in.
const (
	OpMapped = "mapped" // to init: its namespace knows its ids
	OpConfig = "config" // to init: payload of the runtime, mounts
	OpLimits = "limits" // to init: payload Limits; it may start programs
	OpReady  = "ready"  // from init: report, listening sockets
	OpFailed = "failed" // from init: it could not be set up
	OpStep   = "step"   // from a probe's init: how one step went
)

// The operations between a Link and PID 1 at work.
const (
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

// Report is what PID 1 says once it stands.
type Report struct {
	LandlockABI int      `json:"landlock_abi"`
	Redirect    bool     `json:"redirect"`
	Sockets     []string `json:"sockets"` // names of the descriptors that come along
	Notes       []string `json:"notes,omitempty"`
}

// Complete adds to the facts of a sandbox what PID 1 says.
func (r *Report) Complete(f sandbox.Facts) sandbox.Facts {
	f.LandlockABI, f.Redirect, f.Seccomp = r.LandlockABI, r.Redirect, true
	f.Notes = append(f.Notes, r.Notes...)
	if r.LandlockABI == 0 {
		f.Notes = append(f.Notes, "the kernel has no Landlock of ABI 2 or later: the mounts are the only wall around files")
	}
	return f
}

// Message is one frame on the control channel.
type Message struct {
	Op     string  `json:"op"`
	ID     int     `json:"id,omitempty"`
	Signal int     `json:"signal,omitempty"`
	Code   int     `json:"code,omitempty"`
	Step   string  `json:"step,omitempty"`
	Error  string  `json:"error,omitempty"`
	Detail string  `json:"detail,omitempty"`
	Errno  int     `json:"errno,omitempty"`
	Report *Report `json:"report,omitempty"`
}

// Wire is one end of the control channel.
type Wire struct {
	fd  int
	mu  sync.Mutex // one frame at a time
	buf []byte     // of Recv, which one goroutine at a time is in
}

// NewWires makes both ends; the second is for the child.
func NewWires() (*Wire, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make control channel: %w", err)
	}
	return &Wire{fd: fds[0]}, os.NewFile(uintptr(fds[1]), "control"), nil
}

// NewWire is the end whose descriptor is known.
func NewWire(fd int) *Wire { return &Wire{fd: fd} }

// Dial connects to the supervisor that listens at a path, from inside a
// container.
func Dial(name string) (*Wire, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make control channel: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		CloseAll(fd)
		return nil, fmt.Errorf("connect to the supervisor: %w", err)
	}
	return NewWire(fd), nil
}

// Send writes one frame with descriptors, which stay open here.
func (w *Wire) Send(m Message, fds ...int) error {
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

// SendPayload sends a frame whose first descriptor is a memory file with v.
func (w *Wire) SendPayload(m Message, v any, fds ...int) error {
	f, err := payload(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Op, err)
	}
	defer CloseAll(f)
	return w.Send(m, append([]int{f}, fds...)...)
}

// Recv waits for a frame; io.EOF when the other end is gone.
func (w *Wire) Recv() (Message, []int, error) {
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
			return Message{}, nil, io.EOF
		case err != nil:
			return Message{}, nil, fmt.Errorf("read control channel: %w", err)
		}
		fds, err := rights(oob[:oobn])
		if err != nil {
			return Message{}, nil, err
		}
		if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			CloseAll(fds...)
			return Message{}, nil, errors.New("read control channel: message too big")
		}
		var m Message
		if err := json.Unmarshal(buf[:n], &m); err != nil {
			CloseAll(fds...)
			return Message{}, nil, fmt.Errorf("read control channel: %w", err)
		}
		return m, fds, nil
	}
}

// Close ends it; nobody may be in Recv. A later send fails: its number may be
// another file's by then.
func (w *Wire) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	CloseAll(w.fd)
	w.fd = -1
}

// Shut ends the channel in both directions; a blocked Recv returns.
func (w *Wire) Shut() { _ = unix.Shutdown(w.fd, unix.SHUT_RDWR) } // fails only when it is shut already

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
			CloseAll(fd)
			return -1, err
		}
		off += n
	}
	return fd, nil
}

// ReadPayload reads what payload wrote and closes it.
func ReadPayload(fd int, v any) error {
	defer CloseAll(fd)
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

// CloseAll closes descriptors that are only held, never written through: an
// error of close tells nothing here.
func CloseAll(fds ...int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
