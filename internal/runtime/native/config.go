package native

import "log/slog"

// Name is the word people choose this runtime by.
const Name = "native"

// Config is what a Runtime needs from its host.
type Config struct {
	// StateDir holds the records of what stands on the host outside the
	// sandbox (cgroups); it is made when it is missing.
	StateDir string
	// Program is the file that runs as PID 1 and that the sandbox shows as our
	// binary: one that calls Main, and little more, starts fastest. Empty is
	// the running program.
	Program string
	// Logger gets what nobody waits for; nil discards it.
	Logger *slog.Logger
}

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}
