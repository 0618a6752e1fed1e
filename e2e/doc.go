// Package e2e drives the built binary from end to end, as a person would:
// real git, real namespaces, the real Claude Code CLI against a scripted
// Messages API, one script per behaviour in testdata.
//
// # Where the tests run
//
// The test binary first moves itself into an outer network namespace whose
// only interface is lo and in which every address of the world is local. The
// [world] listens there on the documentation addresses: whatever leaves a
// sandbox without the gateway's leave arrives at the world and fails the
// test, and nothing can ever leave the machine.
package e2e
