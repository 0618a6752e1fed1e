//go:build race

package exectest

// raced says whether this process runs under the race detector.
const raced = true
