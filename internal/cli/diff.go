package cli

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"agentprocess/internal/execx"
	"agentprocess/internal/patch"
	"agentprocess/internal/report"
	"agentprocess/internal/term"
)

// diffOptions are what `diff` was given.
type diffOptions struct {
	stat, word, side, unified bool
	json                      bool
}

func newCmdDiff(d *deps) *cobra.Command {
	o := &diffOptions{}
	cmd := &cobra.Command{
		Use:   "diff NAME",
		Short: "Show what an agent changed, what acts on your machine first",
		Long: `diff shows what agent--NAME changes against the commit it started from. Files that
act on your machine without being asked, such as workflows, editor tasks and
package scripts, come first, with the reason. Control characters in files are
shown, not acted on, and nothing that a repository configures is run.

On a terminal it goes through $GIT_PAGER, $PAGER or less, and old and new stand
beside each other when there is room.` + exitStatus(exitRepository, exitNotFound),
		Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.side && o.unified {
				return usage(cmd, "--side-by-side and --unified at once")
			}
			return runDiff(cmd.Context(), d, args[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.stat, "stat", false, "show which files, and how much")
	f.BoolVar(&o.word, "word", false, "mark the words that changed")
	f.BoolVar(&o.side, "side-by-side", false, "old and new beside each other, whatever the width")
	f.BoolVar(&o.unified, "unified", false, "old and new below each other, whatever the width")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func runDiff(ctx context.Context, d *deps, name string, o *diffOptions) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	files, err := svc.Diff(ctx, ".", name)
	if err != nil {
		return err
	}
	out := d.streams.Out
	switch {
	case o.json:
		return report.JSON(out, files)
	case o.stat:
		return patch.Stat(out, files)
	}
	side := o.side || patch.Wide(out) && !o.unified && !o.word
	return d.paged(ctx, func(s *term.Screen) error {
		return patch.Write(s, files, patch.Style{Word: o.word, Side: side})
	})
}

// paged writes through the person's pager, on a terminal only.
func (d *deps) paged(ctx context.Context, write func(*term.Screen) error) error {
	out := d.streams.Out
	pager := d.pager()
	if !out.TTY || pager == "" || pager == "cat" {
		return write(out)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	env := d.environ
	if _, set := lookupEnv(env, "LESS"); !set {
		env = append(slices.Clip(env), "LESS=FRX") // as git does
	}
	// The pager is the person's own line of shell, from their environment.
	p, err := execx.Start(ctx, execx.Cmd{Argv: []string{"/bin/sh", "-c", pager}, Env: env, Stdin: r, Stdout: out.W, Stderr: d.streams.Err.W})
	if err = errors.Join(err, r.Close()); err != nil {
		return errors.Join(err, w.Close())
	}
	screen := &term.Screen{W: w, TTY: true, Colour: out.Colour, Width: out.Columns()}
	_ = write(screen) // who quits the pager has seen enough
	return errors.Join(w.Close(), p.Wait())
}

// pager is what the person reads long text with; empty is nothing.
func (d *deps) pager() string {
	for _, name := range []string{"GIT_PAGER", "PAGER"} {
		if v, set := lookupEnv(d.environ, name); set {
			return v
		}
	}
	return "less"
}

// lookupEnv finds a variable of an environment.
func lookupEnv(environ []string, name string) (string, bool) {
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v, true
		}
	}
	return "", false
}
