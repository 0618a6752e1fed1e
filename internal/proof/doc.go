// Package proof shows, before an agent's first instruction, that its sandbox
// has no way out but the gateway.
//
// Half of it runs inside: [Main] is the hidden verb `__prove`, which tries to
// get out by a name that is not listed, by raw IPv4 and IPv6 addresses, by UDP
// and by DNS, and prints what happened. The other half, [Judge], runs on the
// host side and believes the inside only as far as the gateway confirms it: a
// connection that the inside calls refused must stand in the gateway's record
// as denied, or must have met no route at all.
//
//	plan := proof.NewPlan(rand.Reader)
//	report := ... // run `agent-process __prove plan.Arg()` inside, read its stdout
//	err := proof.Judge(plan, report, gatewayRequests)
//
// # Invariants
//
//   - Everything not shown to be closed counts as open.
//   - The destinations are documentation addresses (RFC 5737, RFC 3849) and a
//     name under .invalid (RFC 2606): even a broken sandbox harms nobody.
package proof
