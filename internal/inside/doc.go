// Package inside carries the small program that does our work inside a
// sandbox: PID 1, the hooks' client and the probe of the proof.
//
//	program, err := inside.Install(cacheDir)
//
// It is cmd/agent-process-inside, built by scripts/build before the binary that
// embeds it. Everything it does the whole binary does too, under the same
// hidden verbs, and a build without it runs itself: the small one only starts
// in half the time and memory, and a sandbox waits for that start.
package inside
