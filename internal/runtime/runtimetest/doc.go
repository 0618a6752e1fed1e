// Package runtimetest says what every runtime must have in common: one table
// of behaviours, most of them attacks from inside, that each runtime passes.
//
//	func TestMain(m *testing.M) {
//		if handled, status := runtimetest.Main(os.Args); handled {
//			os.Exit(status)
//		}
//		os.Exit(m.Run())
//	}
//
//	func TestConformance(t *testing.T) {
//		runtimetest.Run(t, func(t *testing.T) runtimetest.Subject { ... })
//	}
//
// Attacks are programs of the test binary itself, which a runtime shows inside
// at sandbox.BinaryPath.
//
// # Invariants
//
//   - Nothing beyond loopback and the sandbox's own namespaces is reached;
//     hostile destinations are documentation addresses.
//   - A behaviour is judged by what happens inside or on the host, never by
//     what a runtime says about itself.
//
// # Must not
//
// Know how a runtime works, or skip a behaviour because one cannot do it.
package runtimetest
