// Package config is what a user has configured, and where things are on this
// machine: built-in defaults, then config.toml, then flags, which the caller
// lays over the result.
//
//	paths, err := config.PathsFor(environ)
//	cfg, err := config.Load(paths.ConfigFile())
//
// # Invariants
//
//   - An unknown key is an error, never ignored; all errors of a file are told
//     at once, each with file, line and column.
//   - The environment is a parameter, never read here.
//   - Directories that are made are 0700.
//
// The package must not read anything of a project: what a repository says is
// not the user's word.
package config
