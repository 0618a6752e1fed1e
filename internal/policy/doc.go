// Package policy decides what an agent may reach. It is pure: text and plain
// values in, a [Decision] out; it looks nothing up and opens nothing.
//
//	rules, err := policy.ParseRules("--allow", "example.com\n*.example.org:8443")
//	set := policy.NewSet(rules)
//	d := set.Decide(policy.Request{Host: "example.com", Port: 443})
//	// d.Verdict == policy.Allow, d.Rule.Text == "example.com"
//
// A rule may also name ports, a scheme, methods, paths and what git may do, and
// a line may deny, which beats every line that allows; docs/egress.md is the
// grammar. A [Request] without a Method asks for a connection, one with a Method
// for a request in it: [Set.Inspects] says where that has to be asked.
//
// A host is compared in one spelling only, that of [NormalizeHost]; an address
// that a listed name resolved to is judged by [CheckAddress]; a credential
// travels as a [Secret], which cannot be printed by accident.
//
// # Invariants
//
//   - No rule matches: denied. An empty [Set] and a nil one deny everything.
//   - A path that servers may read in more than one way is allowed by no rule that
//     names paths, and denied by every one that denies some.
//   - A rule names hosts, never addresses: no spelling of an IP address passes
//     NormalizeHost.
//   - Text that does not parse is an error with its place; no line is skipped.
//
// # What it must not do
//
// No I/O, no clock, no os, no net/http, and nothing of this module's.
package policy
