// Package scripted is a Messages API whose model follows a script: what
// `agent-process demo` and the end-to-end tests put in the place of the remote
// service, so that everything else of a run is real.
//
//	api := scripted.New(scripted.Demo())
//	server := &http.Server{Handler: api, ReadHeaderTimeout: time.Minute}
//
// It speaks POST /v1/messages (server-sent events or one JSON object),
// POST /v1/messages/count_tokens and GET /v1/models.
//
// # Scripts
//
// A [Script] is a list of conversations; the first whose [Match] fits a
// request answers it. Which turn it is is read off the request (the number of
// assistant messages in it), so that any number of agents may follow the same
// conversation at once and a repeated request gets the same answer. Calls
// beside the main conversation (titles, quota probes) carry no tools and are
// answered by themselves. As a file, JSON or TOML, see [Load]:
//
//	[[conversations]]
//	match = { contains = "write hello" }
//	[[conversations.turns]]
//	text = "I write it."
//	tools = [{ name = "Write", input = { file_path = "{{cwd}}/hello.txt", content = "hi" } }]
//	[[conversations.turns]]
//	text = "Done."
//
// # Invariants
//
//   - A request is never forwarded anywhere.
//   - What is recorded is bounded; see [Server.Requests].
//   - A request that is held by a gate or a pause ends with its context.
//
// It must not grow a mind: no templates beyond {{cwd}}, no conditions beyond
// Match.
package scripted
