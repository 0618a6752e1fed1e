package workspace

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seenPair is what a pairReader tells.
type seenPair struct {
	Pair [2]string
	Path string
}

// readPairs reads out in two parts.
func readPairs(out string, cut int) ([]seenPair, error) {
	var seen []seenPair
	r := &pairReader{stray: func(pair [2]string, path string) { seen = append(seen, seenPair{pair, path}) }}
	for _, part := range []string{out[:cut], out[cut:]} {
		if _, err := r.Write([]byte(part)); err != nil {
			return nil, err
		}
	}
	return seen, r.end()
}

func TestPairReader(t *testing.T) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	header, entry := a+" "+b+"\n", ":100644 100755 "+a+" "+b+" M\x00"
	tests := []struct {
		name, out string
		want      []seenPair
		fails     bool
	}{
		{"nothing", "", nil, false},
		{"pairs without a difference", header + header, nil, false},
		{"a path", header + entry + "x\x00", []seenPair{{[2]string{a, b}, "x"}}, false},
		{"a path like a header", header + entry + header + "x\x00" + entry + "y\x00", []seenPair{{[2]string{a, b}, header + "x"}, {[2]string{a, b}, "y"}}, false},
		{"a path like an entry", header + entry + ":100644\x00" + b + " " + a + "\n", []seenPair{{[2]string{a, b}, ":100644"}}, false},
		{"two pairs", header + entry + "x\x00" + header + b + " " + a + "\n" + entry + "y\x00", []seenPair{{[2]string{a, b}, "x"}, {[2]string{b, a}, "y"}}, false},
		{"no header", entry + "x\x00", nil, true},
		{"no entry", header + "x\x00", nil, true},
		{"no path", header + entry, nil, true},
		{"half a header", header + a + "\n", nil, true},
		{"half an entry", header + ":100644", nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for cut := range len(tt.out) + 1 {
				got, err := readPairs(tt.out, cut)
				if (err != nil) != tt.fails || !tt.fails && cmp.Diff(tt.want, got) != "" {
					t.Fatalf("cut at %d: %v, %v", cut, got, err)
				}
			}
		})
	}
}

// What is read does not depend on how it comes.
func FuzzPairReader(f *testing.F) {
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	f.Add(a+" "+b+"\n:100644 100755 "+a+" "+b+" M\x00x\x00", 50)
	f.Add(a+" "+b+"\n"+b+" "+a+"\n", 41)
	f.Fuzz(func(t *testing.T, out string, cut int) {
		if cut < 0 || cut > len(out) {
			return
		}
		whole, err := readPairs(out, len(out))
		parts, errParts := readPairs(out, cut)
		if (err == nil) != (errParts == nil) || err == nil && cmp.Diff(whole, parts) != "" {
			t.Errorf("whole: %v, %v; cut at %d: %v, %v", whole, err, cut, parts, errParts)
		}
	})
}
