// Package reference reads names of container images: what the official Docker
// client needs of the package of this path, and no more.
//
// The usual package compiles a dozen regular expressions when a program
// starts, whether or not it ever reads a name: a quarter of what our binary
// needs to start (docs/adr/0009-a-quick-start-with-the-docker-client.md). This
// one has none. go.mod of the project puts it in the place of the usual one;
// nothing of ours imports it.
//
// A name is [domain/]path[:tag][@digest]. The domain is docker.io, and a path
// of one component under it begins with library/, unless the name says
// otherwise.
package reference
