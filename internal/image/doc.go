// Package image knows how an image of a project is made: it reads a Dockerfile
// or a devcontainer.json, judges what it asks for, and says what an engine is
// to build.
//
//	recipe, err := image.Find(files)      // of the base commit
//	bases, err := recipe.Bases()          // images that must be there
//	steps := recipe.Steps(ids)            // Dockerfiles and contexts, in order
//
// # Invariants
//
//   - A Dockerfile is sent as it was understood: instructions are parsed,
//     judged, and written again, one a line. What could be read in two ways is
//     refused.
//   - Nothing in it is fetched by the engine itself: no ADD of an URL, no image
//     that is not there.
//   - Every key of a devcontainer.json is obeyed, or said to be left out, or
//     refused. None runs anything on the host or weakens the sandbox.
//
// # Must not
//
// Talk to an engine, or read anything but what it is given.
package image
