// Package preset finds the hosts that the lines "preset:NAME" of an egress list
// stand for, where the clients of a registry keep them themselves: in the
// person's configuration of npm, pip, cargo and so on, in what those clients
// say, and in the lockfiles of a project. It knows no registry by itself, so
// that mirrors and private registries work as any other.
//
//	f := preset.Finder{Home: home, Lookup: os.LookupEnv, Run: run, Project: files}
//	found, err := f.Find(ctx, "npm")
//	// found[0].Rules() == []string{"registry.example.com/**  GET"}
//	// found[0].From == "~/.npmrc:2"
//
// # Invariants
//
//   - What a preset lets through is reading: requests by GET, and fetching by
//     git. Nothing can be published under it.
//   - Each host says where it was found. A user name or password that stands in
//     a URL there is dropped as it is read, and is in no result and no error.
//   - What a project names is marked as such: it counts once somebody agreed.
//   - Files are text of unknown origin: they are bounded and never run.
//
// # What it must not do
//
// No network, no decision about what counts, no writing.
package preset
