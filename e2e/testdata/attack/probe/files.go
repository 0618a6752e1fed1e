package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// planted is what every secret on the host holds. It is put together here so
// that this program does not hold it.
func planted() []byte { return []byte(strings.Join([]string{"planted", "secret"}, "-")) }

// find reads whatever can be read and says where a planted secret is. What
// every host has in /usr is left out.
func find(context.Context, []string) error {
	var places []string
	files := 0
	look := func(name string, most int64) {
		data, err := readSome(name, most)
		if err != nil {
			return
		}
		files++
		if bytes.Contains(data, planted()) {
			places = append(places, name)
		}
	}
	_ = filepath.WalkDir("/", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // what cannot be read holds no secret for us
		case d.IsDir() && (name == "/usr" || name == "/proc"):
			return fs.SkipDir
		case d.Type().IsRegular():
			look(name, 1<<20)
		}
		return nil
	})
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		for _, f := range []string{"environ", "cmdline", "maps", "mountinfo", "cgroup", "task/" + filepath.Base(p) + "/environ"} {
			look(filepath.Join(p, f), 1<<20)
		}
	}
	for _, f := range []string{"/proc/net/unix", "/proc/net/tcp", "/proc/cmdline", "/proc/keys", "/proc/sysvipc/shm", "/proc/sysvipc/msg", "/proc/config.gz"} {
		look(f, 1<<20)
	}
	if files == 0 {
		return fmt.Errorf("nothing was read at all")
	}
	fmt.Println("found:", strings.Join(places, " "))
	return nil
}

func readSome(name string, most int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// writable says below which mounts something can be written, or changed in
// place, and which files of proc can be opened to write.
func writable(context.Context, []string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var places []string
	for line := range strings.Lines(string(mounts)) {
		point := strings.Fields(line)[4]
		var st unix.Statfs_t
		if err := unix.Statfs(point, &st); err != nil || st.Flags&unix.ST_RDONLY != 0 || point == "/proc" {
			continue
		}
		places = append(places, writableBelow(point)...)
	}
	places = append(places, writableProc()...)
	slices.Sort(places)
	fmt.Println("writable:", strings.Join(slices.Compact(places), " "))
	return nil
}

// writableBelow is the topmost of a mount that can be written.
func writableBelow(point string) []string {
	var places []string
	_ = filepath.WalkDir(point, func(name string, d fs.DirEntry, err error) error {
		switch {
		case d == nil || d.Type()&fs.ModeSymlink != 0 || strings.HasPrefix(name, "/proc/"):
			return nil
		case unix.Access(name, unix.W_OK) != nil:
			return nil
		case d.IsDir():
			places = append(places, name)
			return fs.SkipDir
		}
		places = append(places, name)
		return nil
	})
	return places
}

// writableProc are files of proc, other than those of its own processes, that
// can be opened to write and are not masked by a device.
func writableProc() []string {
	var places []string
	_ = filepath.WalkDir("/proc", func(name string, d fs.DirEntry, err error) error {
		parts := strings.Split(name, "/")
		if len(parts) > 2 && (parts[2] == "self" || parts[2] == "thread-self" || isNumber(parts[2]) && parts[2] != "1") {
			return fs.SkipDir
		}
		if d == nil || d.IsDir() {
			return nil
		}
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			return nil
		}
		if f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Close()
			places = append(places, name)
		}
		return nil
	})
	return places
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// descriptors says which open files of any process lead out of what a fresh
// process should have.
func descriptors(context.Context, []string) error {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	self := fmt.Sprintf("/proc/%d/", os.Getpid())
	for _, l := range links {
		to, err := os.Readlink(l)
		if err != nil || strings.HasPrefix(l, self) {
			continue
		}
		if !strings.HasPrefix(to, "pipe:") && !strings.HasPrefix(to, "anon_inode:") && to != "/dev/null" && to != "/dev/urandom" {
			fmt.Println("open:", l, to)
		}
	}
	return nil
}

// zombies leaves an orphan to die and says whether somebody reaped it.
func zombies(ctx context.Context, _ []string) error {
	r := try(ctx, "", "(sh -c 'exit 3' &) ; (setsid sh -c 'exit 3' &)")
	if r.Exit != 0 {
		return fmt.Errorf("orphans: %s", r.Output)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		stats, _ := filepath.Glob("/proc/[0-9]*/stat")
		left := 0
		for _, s := range stats {
			if data, err := os.ReadFile(s); err == nil && bytes.Contains(data, []byte(") Z ")) {
				left++
			}
		}
		if left == 0 {
			fmt.Println("all reaped")
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("zombies stay")
}

// burn uses all the processors it can get for a while and says how many that
// were, in percent of one.
func burn(context.Context, []string) error {
	begin := time.Now()
	const workers, span = 4, 2 * time.Second
	done := make(chan int)
	for range workers {
		go func() {
			n := 0
			for time.Since(begin) < span {
				n++
			}
			done <- n
		}()
	}
	for range workers {
		<-done
	}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return err
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	fmt.Println("percent:", 100*used/time.Since(begin))
	return nil
}
