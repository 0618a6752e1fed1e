package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentprocess/internal/approval"
	"agentprocess/internal/term"
)

// script writes a program that a test notifies with.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNotify(t *testing.T) {
	out := filepath.Join(t.TempDir(), "told")
	var screen bytes.Buffer
	d := &deps{streams: term.Streams{Out: &term.Screen{W: &screen, TTY: true}}, environ: []string{"PATH=" + os.Getenv("PATH"), "OUT=" + out}}
	n := d.notifier([]string{script(t, `printf '%s|' "$#" "$@" >> "$OUT"`), "--", "$(reboot)"}, func(err error) { t.Error(err) })
	for _, subject := range []string{"Bash: git push; rm -rf ~ $(id) `id`\x1b[2J\n", "Bash: second"} {
		n.Notify(t.Context(), approval.Question{ID: "q-7k2mf", Name: "docs", Subject: subject})
		n.Wait()
	}
	told, err := os.ReadFile(out)
	want := "3|--|$(reboot)|docs asks: Bash: git push; rm -rf ~ $(id) `id`␛[2J␊ (agent-process policy answer q-7k2mf)|" +
		"3|--|$(reboot)|docs asks: Bash: second (agent-process policy answer q-7k2mf)|"
	if string(told) != want || err != nil {
		t.Errorf("%v, told\n%q, want\n%q", err, told, want)
	}
	if screen.String() != "\a\a" {
		t.Errorf("the terminal got %q", screen.String())
	}
}

func TestNotifyTellsOnceThatItFails(t *testing.T) {
	var failures []string
	d := &deps{streams: term.Streams{Out: term.Plain(io.Discard), Err: term.Plain(io.Discard)}, environ: []string{"PATH=" + os.Getenv("PATH")}}
	n := d.notifier([]string{script(t, "echo broken >&2; exit 3")}, func(err error) { failures = append(failures, err.Error()) })
	if n.bell != nil {
		t.Error("a pipe has a bell")
	}
	for range 20 {
		n.Notify(t.Context(), approval.Question{Name: "docs"})
	}
	n.Wait()
	if len(failures) != 1 || !strings.Contains(failures[0], "broken") {
		t.Errorf("failures %q", failures)
	}
}

func TestNotifyEndsWithItsContext(t *testing.T) {
	failed := 0
	d := &deps{streams: term.Streams{Out: term.Plain(io.Discard), Err: &term.Screen{W: io.Discard, TTY: true}}, environ: []string{"PATH=" + os.Getenv("PATH")}}
	n := d.notifier([]string{script(t, "exec sleep 1000")}, func(error) { failed++ })
	if n.bell == nil {
		t.Error("no bell on stderr")
	}
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 * mostNotifications {
		n.Notify(ctx, approval.Question{Name: "docs"})
	}
	cancel()
	n.Wait()
	if failed > 1 {
		t.Errorf("%d failures told", failed)
	}
}

func TestNoNotificationConfigured(t *testing.T) {
	d := &deps{streams: term.Streams{Out: term.Plain(io.Discard), Err: term.Plain(io.Discard)}}
	n := d.notifier(nil, func(err error) { t.Error(err) })
	n.Notify(t.Context(), approval.Question{Name: "docs"})
	n.Wait()
}
