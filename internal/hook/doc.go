// Package hook carries every tool call of a coding agent to the gateway before
// it happens, and leaves a receipt of each answer.
//
// Inside the sandbox the agent's CLI runs `agent-process hook`, which is
// [ClientMain]: it reads the CLI's JSON from stdin, asks the [Server] over a
// unix socket and answers with its exit status. Outside, the Server decides,
// records the verdict, and only then answers.
//
//	receipts := hook.NewReceipts("/home/agent")
//	server := &hook.Server{Recorder: recorder, Receipts: receipts, Nonce: nonce}
//	go server.Serve(ctx, box.Sockets().Hook)
//	...
//	for _, p := range transcript.Line(line) {
//		if err := receipts.Observe(p); err != nil { ... } // stop the run
//	}
//
// # The wire, version 1
//
// One connection is one call. A frame is its length in four bytes, big-endian,
// and that many bytes of JSON.
//
//	question  {"v": 1, "event": {...}}     event is the CLI's JSON as it came
//	answer    {"v": 1, "id": "...",        the receipt
//	           "request": "...",           sha256 of the question's bytes, hex
//	           "decision": "allow"|"deny",
//	           "reason": "..."}            for a denial; shown to the model
//
// # Invariants
//
//   - The CLI goes on when a hook exits with anything but 2 (tried: 1, killed,
//     timed out, missing). So the client turns every failure of its own into 2:
//     no socket, bad JSON, short read, wrong version, panic, 30 seconds gone.
//     The one exception is a Stop event that a hook has held once already
//     (stop_hook_active): there 2 means "go on working", without end, so a
//     failure is 1.
//   - A verdict is recorded before it is answered. A recorder with an error,
//     a decision that panics or does not come, a call that does not parse: deny.
//   - Nothing that a caller sends makes the server hold more than its bounds.
//   - The socket is open to everything in the sandbox, so a receipt proves that
//     a call was judged, not who asked. Hooks are the policy and the record;
//     the wall is elsewhere.
//
// It must not know policies (Decide does) nor agents other than by the JSON of
// their hooks.
package hook
