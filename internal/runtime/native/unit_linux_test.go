package native

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
)

func TestFindHierarchy(t *testing.T) {
	root := t.TempDir()
	write := func(name, data string) {
		t.Helper()
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	makeFiles(t, root, "memory/own/", "pids/own/", "cpu/")
	for _, dir := range []string{"v2/user/app", "v2/root"} {
		write(dir+"/cgroup.procs", "")
		write(dir+"/cgroup.subtree_control", "cpu memory pids\n")
	}
	write("v2/bare/cgroup.procs", "")
	write("v2/bare/cgroup.subtree_control", "")
	makeFiles(t, root, "v2/user/app/own.scope/", "v2/bare/own/", "v2/root/session/leaf/")
	mount := func(kind, dir, opts string) string {
		return kind + " " + filepath.Join(root, dir) + " " + kind + " rw," + opts + " 0 0\n"
	}
	v1 := mount("cgroup", "memory", "memory") + mount("cgroup", "pids", "pids") + mount("cgroup", "cpu", "cpu,cpuacct") + mount("cgroup", "none", "freezer")
	for _, tc := range []struct {
		name, self, mounts string
		version            int
		parents            map[string]string
	}{
		{"v1", "5:memory:/own\n4:pids:/own\n3:cpu,cpuacct:/\n2:freezer:/\n0::/\n", v1 + mount("cgroup2", "bare", ""), 1, map[string]string{"memory": "memory/own", "pids": "pids/own", "cpu": "cpu"}},
		{"v2 delegated", "0::/user/app/own.scope\n", mount("cgroup2", "v2", ""), 2, map[string]string{"memory": "v2/user/app", "pids": "v2/user/app", "cpu": "v2/user/app"}},
		{"v2 without controllers", "0::/bare/own\n", mount("cgroup2", "v2", ""), 0, nil},
		{"nothing", "", "", 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := findHierarchy([]byte(tc.self), []byte(tc.mounts))
			want := map[string]string{}
			for c, dir := range tc.parents {
				want[c] = filepath.Join(root, dir)
			}
			if h.version != tc.version || len(want) > 0 && !maps.Equal(h.parents, want) {
				t.Errorf("got %+v", h)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	limits := sandbox.Limits{MemoryBytes: 1 << 20, PIDs: 7, CPUs: 1.5}
	for version, want := range map[int]string{
		1: "memory.limit_in_bytes=1048576 memory.memsw.limit_in_bytes=1048576 pids.max=7 cpu.cfs_period_us=100000 cpu.cfs_quota_us=150000",
		2: "memory.max=1048576 memory.swap.max=0 pids.max=7 cpu.max=150000 100000",
	} {
		var got []string
		for _, s := range (&cgroup{version: version}).settings(limits) {
			got = append(got, s.file+"="+s.value)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("v%d: %q", version, got)
		}
	}
}

func TestFindCgroups(t *testing.T) {
	root := t.TempDir()
	makeFiles(t, root, "a/b/agent-process-r1/", "c/agent-process-r1/", "agent-process-r10/", "d/agent-process-r/")
	got, err := findCgroups(root, "r1")
	if err != nil || len(got) != 2 {
		t.Errorf("got %q, %v", got, err)
	}
	if err := removeCgroups(t.Context(), got); err != nil {
		t.Error(err)
	}
	if got, err = findCgroups(root, "r1"); err != nil || len(got) != 0 {
		t.Errorf("left %q, %v", got, err)
	}
	if got, err = findCgroups(filepath.Join(root, "none"), "r1"); err != nil || len(got) != 0 {
		t.Errorf("nowhere: %q, %v", got, err)
	}
}

func TestRecord(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r.json")
	if got, err := readRecord(name, "x"); err != nil || got != nil {
		t.Errorf("missing: %q, %v", got, err)
	}
	if err := writeRecord(name, []string{"/a/x", "/b/x", "/etc", "x", "/a/x/../y"}); err != nil {
		t.Fatal(err)
	}
	if got, err := readRecord(name, "x"); err != nil || !slices.Equal(got, []string{"/a/x", "/b/x"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(name, "x"); err == nil {
		t.Error("damaged record: no error")
	}
}

func TestIdentityRanges(t *testing.T) {
	name := filepath.Join(t.TempDir(), "subuid")
	data := "one:" + strconv.Itoa(firstID) + ":2\ndamaged\ntwo:x:y\n"
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := dedicatedIdentity(name, name+".none")
	if err != nil || id.UID != firstID+2 || id.GID != firstID+2 {
		t.Errorf("got %+v, %v", id, err)
	}
	if err := os.WriteFile(name, []byte("all:1:99999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dedicatedIdentity(name); sandbox.ErrorCode(err) != sandbox.CodeRuntime {
		t.Errorf("none left: %v", err)
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{"a": true, "r-1_2.3": true, "": false, ".": false, "..": false, "a/b": false, "a b": false, strings.Repeat("a", 101): false, "ü": false} {
		if validID(id) != want {
			t.Errorf("%q", id)
		}
	}
	if _, err := New(Config{}).Start(context.Background(), sandbox.Spec{ID: "../x"}); err == nil {
		t.Error("start with a bad id: no error")
	}
	if err := New(Config{}).Cleanup(t.Context(), "../x"); err == nil {
		t.Error("cleanup of a bad id: no error")
	}
}
