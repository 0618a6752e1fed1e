// Package exectest gives tests their own binary as a program that others start.
//
//	func TestMain(m *testing.M) { ...; os.Exit(exectest.Main(m)) }
//	exe := exectest.Binary(t)
//
// Under the race detector a process starts slowly and sleeps for a second at its
// end. Tests that start hundreds get a binary without it, built once; they are
// themselves watched all the same.
package exectest
