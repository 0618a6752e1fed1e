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
// # The wire, version 2
//
// One connection is one call. A frame is its length in four bytes, big-endian,
// and that many bytes of JSON.
//
//	question  {"v": 2, "event": {...}}     event is the CLI's JSON as it came
//	inquiry   {"v": 2, "resolve": [...]}   where are these paths really? see Talk
//	reply     {"v": 2, "resolved": {path: real path}, "errors": {path: why}}
//	inquiry   {"v": 2, "hold": SECONDS}    a person is asked: wait; no reply
//	answer    {"v": 2, "id": "...",        the receipt
//	           "request": "...",           sha256 of the question's bytes, hex
//	           "decision": "allow"|"deny",
//	           "reason": "...",            for a denial; shown to the model
//	           "input": {...},             replaces the tool's input
//	           "context": "..."}           told to the model besides
//
// A client goes away by closing its connection, which ends the decision.
//
// # What the CLI does with an answer
//
// Tried with Claude Code 2.1.197. Exit status 2 stops a tool call (PreToolUse)
// and a prompt (UserPromptSubmit), sends the agent back to work (Stop), and is
// a message to the model after a tool (PostToolUse, PostToolUseFailure); each
// with stderr as the reason. On stdout of status 0 updatedInput replaces the
// whole input of a tool, is checked against its schema, and is what PostToolUse
// reports; transcript and PostToolBatch show the original. One that is no
// object, or JSON that is cut short, is ignored, and the original runs: so the
// server refuses such a decision, the client such an answer, and [Receipts]
// wants to hear what ran. additionalContext reaches the model with PreToolUse,
// PostToolUse, PostToolUseFailure, UserPromptSubmit and SessionStart; with Stop
// it makes the agent go on, so there it is left out. A call is asked about once.
//
// # Invariants
//
//   - The CLI goes on when a hook exits with anything but 2 (tried: 1, killed,
//     timed out, missing). So the client turns every failure of its own into 2:
//     no socket, bad JSON, short read, an odd frame, wrong version, panic, 30
//     seconds gone without a hold, [ClientLife] gone with one. The one exception
//     is a Stop event that a hook has held once already (stop_hook_active):
//     there 2 means "go on working", without end, so a failure is 1.
//   - A verdict is recorded before it is answered. A recorder with an error,
//     a decision that panics, contradicts itself or does not come, a caller that
//     goes away or talks out of turn, a call that does not parse: deny.
//   - Nothing that a caller sends makes the server hold more than its bounds,
//     see gate.go, and no flood keeps others from their turn for long: callers
//     that say nothing give way, those that ask take turns by their parent
//     process, and what waits for a person waits apart.
//   - The socket is open to everything in the sandbox, so a receipt proves that
//     a call was judged, not who asked. What a forger can do, and cannot, is
//     said at [Receipts]. Hooks are the policy and the record; the wall is
//     elsewhere.
//
// It must not know policies (Decide does) nor agents other than by the JSON of
// their hooks.
package hook
