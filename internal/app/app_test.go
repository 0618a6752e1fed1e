package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"agentprocess/internal/sandbox"
)

func TestNew(t *testing.T) {
	home := t.TempDir()
	svc, done, err := New(t.Context(), Options{Environ: []string{"HOME=" + home}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	runs, err := svc.List(t.Context(), "", true)
	if err != nil || len(runs) > 0 {
		t.Errorf("List() = %+v, %v, want nothing", runs, err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(home, ".local", "state", "agent-process"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the state directory: %v, %v, want it private", info, err)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name   string
		config string
		home   bool
	}{
		{"no home", "", false},
		{"a configuration with a wrong key", "colour = 'red'\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := t.TempDir()
			var environ []string
			if tt.home {
				environ = append(environ, "HOME="+home)
			}
			dir := filepath.Join(home, ".config", "agent-process")
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "config.toml"), []byte(tt.config), 0o600)); err != nil {
				t.Fatal(err)
			}
			_, _, err := New(t.Context(), Options{Environ: environ, Logger: slog.New(slog.DiscardHandler)})
			if sandbox.ErrorCode(err) != sandbox.CodeUsage || sandbox.ErrorHint(err) == "" {
				t.Errorf("New() = %v, hint %q, want a usage error with a hint", err, sandbox.ErrorHint(err))
			}
			if _, err := os.Lstat(filepath.Join(home, ".local")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("state was made all the same: %v", err)
			}
		})
	}
}
