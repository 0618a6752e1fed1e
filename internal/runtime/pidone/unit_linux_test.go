package pidone

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWire(t *testing.T) {
	w, theirs, err := NewWires()
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(w.fd)
	other := NewWire(int(theirs.Fd()))
	big := strings.Repeat("x", 4<<20) // no frame holds this
	if err := w.SendPayload(Message{Op: opExec, ID: 5}, big, int(theirs.Fd())); err != nil {
		t.Fatal(err)
	}
	m, fds, err := other.Recv()
	if err != nil || m.Op != opExec || m.ID != 5 || len(fds) != 2 {
		t.Fatalf("got %+v, %v, %v", m, fds, err)
	}
	CloseAll(fds[1])
	var got string
	if err := ReadPayload(fds[0], &got); err != nil || got != big {
		t.Errorf("payload of %d bytes, %v", len(got), err)
	}
	if err := w.Send(Message{Error: big}); err == nil {
		t.Error("a frame that is too big: no error")
	}
	w.Shut()
	if _, _, err := other.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if err := theirs.Close(); err != nil {
		t.Error(err)
	}
	if err := w.Send(Message{}); !HungUp(err) {
		t.Errorf("to nobody: %v", err)
	}
}

func TestOddFilterIsRefused(t *testing.T) {
	if err := loadProgram([]byte{1}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("odd program: %v", err)
	}
}

func TestDiskUse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	one := diskUse(dir)
	if one < 1<<20 {
		t.Errorf("one file: %d", one)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr", filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	if got := diskUse(dir); got > one+8192 {
		t.Errorf("a hard and a symbolic link added %d", got-one)
	}
	if got := diskUse(filepath.Join(dir, "c")); got != 0 {
		t.Errorf("through a link: %d", got)
	}
}

func TestPrivatePages(t *testing.T) {
	if n, err := privatePages([]byte("100 50 20 1 0 30 0\n")); err != nil || n != 30 {
		t.Errorf("%d, %v", n, err)
	}
	for _, bad := range []string{"", "1 2", "1 x y"} {
		if _, err := privatePages([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestOOMCount(t *testing.T) {
	for data, want := range map[string]int{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n":               3,
		"low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n": 2,
		"": 0, "oom_kill x\n": 0,
	} {
		if got := oomCount([]byte(data)); got != want {
			t.Errorf("%q: %d", data, got)
		}
	}
}
