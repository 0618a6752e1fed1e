//go:build !linux

package contained

// Main runs the hidden verb of our binary, of which there is none here:
// containers run Linux.
func Main([]string) (handled bool, status int) { return false, 0 }
