// Package proxy is the only way out of a sandbox: an HTTP proxy, a resolver
// and the far end of redirected TCP connections, all under one policy.
//
//	srv, err := proxy.New(proxy.Config{Policy: set, Record: rec, Credentials: creds})
//	files = append(files, sandbox.File{Path: caPath, Data: srv.CAPEM()})
//	...
//	err = srv.Serve(ctx, box.Sockets()) // until ctx ends
//
// A connection becomes a name first: from CONNECT, from an absolute request
// target, or from the synthetic address that the resolver answered. The name
// must be listed for the port, what the client then says of itself (SNI, Host,
// :authority) must be that name, and only then is it resolved and dialled.
//
// TLS is tunnelled. It is opened only for a host whose rules judge requests,
// see [policy.Set.Inspects], and for one that has a [Credential]: there the
// placeholder that the sandbox holds is swapped for the real credential, and a
// request with any other credential is refused. What a rule needs opened when
// the authority, made at the start, does not vouch for it is refused.
//
// # Invariants
//
//   - A name that is not listed is never resolved, by anyone.
//   - The address that is dialled is the one that was checked.
//   - Requests are parsed strictly and written anew, never passed on as bytes;
//     what is passed on as bytes is a tunnel to one listed name and port.
//   - Each connection, request or lookup is recorded once, when it ended, under
//     the id that the agent was told.
//   - What a rule bounds in bytes is counted before it passes, see tally.
//   - Behind an [Upstream] names go to it by name, after the filter; what it is
//     asked with is in no record and no error.
//   - Serve owns every goroutine and returns when they have ended.
//   - A sandbox can have so many connections and no more, all sandboxes of a
//     process together as many as descriptors allow with some left over: one too
//     many waits a second and is told why it is refused.
//   - An idle tunnel has no buffer and no pipe.
//
// # What it must not do
//
// No decision of its own (that is package policy's), no credential at rest, no
// files, no environment.
//
// # Known limits
//
// What a client says inside TLS that is not opened cannot be seen: a Host
// header there, or the inner name of Encrypted Client Hello, may differ from
// the SNI. On ports other than 80 and 443, which a rule must name, a protocol
// that is neither TLS nor HTTP/1 is relayed as it is.
package proxy
