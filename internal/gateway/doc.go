// Package gateway is the one way out of a run's sandbox: the egress proxy with
// its resolver, and the endpoint that answers hooks, served together on the
// sockets that the sandbox listens on inside.
//
//	gw := gateway.New(egress, hooks)
//	gw.Serve(ctx, box.Sockets()) // until ctx ends or one half breaks
//
// # Invariants
//
//   - Both halves live and die together: a sandbox never has a network without
//     hooks, nor hooks without the network's judge.
//   - A half that ends by itself is a broken gateway: Failed is closed, and
//     the run must end. It never opens.
package gateway
