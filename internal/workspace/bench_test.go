//go:build linux

package workspace

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkPrepare measures what each further agent on a repository costs; the
// time must not grow with the number of files.
func BenchmarkPrepare(b *testing.B) {
	for _, files := range []int{200, 20_000} {
		b.Run(fmt.Sprintf("files=%d", files), func(b *testing.B) {
			f := largeFixture(b, files)
			r := f.open(f.dir)
			base, err := r.Resolve(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			prepare := func() {
				n++
				ws, err := r.Prepare(b.Context(), Options{
					Name: "docs", Base: base, RunDir: filepath.Join(f.root, "runs", fmt.Sprint(n)), Owner: testOwner(), Overlay: true,
				})
				if err != nil {
					b.Fatal(err)
				}
				if err := ws.Close(); err != nil {
					b.Fatal(err)
				}
			}
			prepare() // the first agent fills the cache
			for b.Loop() {
				prepare()
			}
		})
	}
}

// BenchmarkFirstPrepare measures the first agent on a tree: a whole checkout.
func BenchmarkFirstPrepare(b *testing.B) {
	for _, overlay := range []bool{true, false} {
		b.Run(fmt.Sprintf("overlay=%t", overlay), func(b *testing.B) {
			f := largeFixture(b, 20_000)
			r := f.open(f.dir)
			base, err := r.Resolve(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			for n := 0; b.Loop(); n++ {
				ws, err := r.Prepare(b.Context(), Options{
					Name: "docs", Base: base, RunDir: filepath.Join(f.root, "runs", fmt.Sprint(n)), Owner: testOwner(), Overlay: overlay,
				})
				if err != nil {
					b.Fatal(err)
				}
				if err := ws.Close(); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if _, err := PrunePristine(b.Context(), f.cfg, 0); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func largeFixture(b *testing.B, files int) *fixture {
	b.Helper()
	f := newFixture(b, "large")
	data := make([]byte, 4096)
	for i := range files {
		path := filepath.Join(f.dir, fmt.Sprintf("d%d/e%d", i%50, i%7), fmt.Sprintf("file%d", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		copy(data, fmt.Sprint(i, " "))
		if err := os.WriteFile(path, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	f.git("add", "-A")
	f.git("commit", "-q", "-m", "large")
	return f
}
