package cli

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
	"agentprocess/internal/trust"
)

// trustService is what `trust` needs.
type trustService interface {
	TrustReport(ctx context.Context, dir, base string) (trust.Report, error)
	Trust(ctx context.Context, dir string, items []trust.Item) error
	Untrust(ctx context.Context, dir string) error
}

// trustOptions are what `trust` was given.
type trustOptions struct {
	open         func(context.Context) (trustService, error)
	base, yes    string
	remove, json bool
}

// digestLength is how much of a digest --yes wants, in hexadecimal digits: too
// much for anybody to make up other content that fits.
const digestLength = 32

// commit is a whole commit id, which may be offered for typing.
var commit = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{40,64}$`) })

func newCmdTrust(d *deps, open func(context.Context) (trustService, error)) *cobra.Command {
	o := trustOptions{open: open}
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "See what a repository would do to agents, and agree to it",
		Long: `trust shows what a commit of this repository brings along that would act on an
agent or steer it: hooks, a policy, an allowlist, MCP servers, settings, skills,
subagents, commands. All of it is inert until you agree. What you agree to is
pinned by its content: when it changes, it is inert again, and trust shows it
as changed.

On a terminal trust asks. For scripts, --yes takes the digest that trust has
printed, so that nothing is agreed to but what was shown.` + exitStatus(exitRepository,
			"\n  15  something is not trusted, and nobody was there to ask or the digest is another"),
		Example: `  agent-process trust
  agent-process trust --json
  agent-process trust --yes 5f0c9a1be2d34c7786aa0b1f6d2e9c43
  agent-process trust --remove`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			return runTrust(cmd.Context(), d, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.base, "base", "", "the commit to look at (default HEAD)")
	f.StringVar(&o.yes, "yes", "", "agree to what has this `DIGEST`, without asking")
	f.BoolVar(&o.remove, "remove", false, "trust nothing of this repository any more")
	f.BoolVar(&o.json, "json", false, "print JSON, and ask nothing")
	return cmd
}

// check refuses flags that do not go together.
func (o trustOptions) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed("yes")
	switch {
	case o.remove && (given || o.json || o.base != ""):
		return usage(cmd, "--remove goes alone")
	case given && (len(o.yes) < digestLength || strings.Trim(o.yes, "0123456789abcdef") != ""):
		return usage(cmd, "--yes %q: want the digest that `agent-process trust` prints", o.yes)
	}
	return nil
}

func runTrust(ctx context.Context, d *deps, o trustOptions) error {
	svc, err := o.open(ctx)
	if err != nil {
		return err
	}
	if o.remove {
		if err := svc.Untrust(ctx, "."); err != nil {
			return err
		}
		fmt.Fprintln(d.streams.Out, "nothing of this repository is trusted any more")
		return nil
	}
	seen, err := svc.TrustReport(ctx, ".", o.base)
	if err != nil {
		return err
	}
	agreed, err := d.agree(seen, o)
	if err != nil || !agreed {
		return err
	}
	// What is pinned is what was shown, whatever the repository has become.
	if err := svc.Trust(ctx, ".", seen.Untrusted); err != nil {
		return err
	}
	if !o.json {
		fmt.Fprintf(d.streams.Out, "trusted: %s\n", kindsOf(seen.Untrusted))
	}
	return nil
}

// agree shows what there is and finds out whether the rest is to be trusted.
func (d *deps) agree(seen trust.Report, o trustOptions) (bool, error) {
	if o.json {
		if err := report.JSON(d.streams.Out, viewOf(seen)); err != nil {
			return false, err
		}
	} else {
		d.printTrust(seen)
	}
	digest := digestOf(seen)
	switch {
	case len(seen.Untrusted) == 0:
		return false, nil
	case o.yes != "" && strings.HasPrefix(digest, o.yes):
		return true, nil
	case o.yes != "":
		return false, sandbox.Fail(sandbox.CodePolicy, fmt.Errorf("what is shown has the digest %s, not %s: it is not what you agreed to", digest[:digestLength], o.yes),
			"look at what `agent-process trust` shows now")
	case o.json:
		return false, nil
	case d.streams.InTTY && d.streams.Out.TTY:
		return d.confirm(seen)
	}
	return false, sandbox.Fail(sandbox.CodePolicy, errors.New("there is something to agree to, and nobody to ask"),
		"run `agent-process trust` on a terminal, or `agent-process trust --yes "+digest[:digestLength]+"`")
}

// confirm asks on the terminal; only the whole word agrees.
func (d *deps) confirm(seen trust.Report) (bool, error) {
	fmt.Fprintf(d.streams.Out, "Trust %s as shown? Type yes to agree: ", kindsOf(seen.Untrusted))
	line, err := bufio.NewReader(io.LimitReader(d.streams.In, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) == "yes" {
		return true, nil
	}
	if err != nil {
		fmt.Fprintln(d.streams.Out)
	}
	fmt.Fprintln(d.streams.Out, "nothing was changed")
	return false, nil
}

// digestOf is one number over all that is not trusted: agreeing to it is
// agreeing to exactly these kinds with exactly this content.
func digestOf(seen trust.Report) string {
	h := sha256.New()
	for _, item := range seen.Untrusted {
		fmt.Fprintf(h, "%s %s\n", item.Kind, item.Hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func kindsOf(items []trust.Item) string {
	names := make([]string, len(items))
	for i, item := range items {
		names[i] = string(item.Kind)
	}
	return strings.Join(names, ", ")
}

// printTrust shows every item, what it would do, and the digest of the rest.
func (d *deps) printTrust(seen trust.Report) {
	out := d.streams.Out
	if len(seen.Trusted)+len(seen.Untrusted) == 0 {
		fmt.Fprintln(out, "this repository brings nothing along that would act on an agent")
		return
	}
	paint := out.Paint()
	for _, item := range slices.Concat(seen.Untrusted, seen.Trusted) {
		style := term.StyleYellow
		word := stateOf(item, slices.ContainsFunc(seen.Trusted, func(t trust.Item) bool { return t.Kind == item.Kind }))
		if word == stateTrusted {
			style = term.StyleGreen
		}
		fmt.Fprintf(out, "%s  %s  %s\n", paint.Bold(string(item.Kind)), paint.Apply(style, word), paint.Dim(shortHash(item.Hash)+since(item)))
		for _, line := range item.Lines {
			for _, part := range wrapped(out, line, 2) {
				fmt.Fprintln(out, "  "+part)
			}
		}
		fmt.Fprintln(out)
	}
	if len(seen.Untrusted) > 0 {
		fmt.Fprintf(out, "not trusted, and inert: %s\n", kindsOf(seen.Untrusted))
		if commit().MatchString(seen.Base) {
			fmt.Fprintf(out, "read a file: %s\n", paint.Cyan("git show "+seen.Base[:12]+":PATH"))
		}
		fmt.Fprintf(out, "digest: %s\n", digestOf(seen)[:digestLength])
	} else {
		fmt.Fprintln(out, "all of it is trusted")
	}
}

// The states of an item.
const (
	stateTrusted = "trusted"
	stateNew     = "new"
	stateChanged = "changed"
)

func stateOf(item trust.Item, trusted bool) string {
	switch {
	case trusted:
		return stateTrusted
	case item.Was != nil:
		return stateChanged
	}
	return stateNew
}

// since says when an item that has changed was agreed to.
func since(item trust.Item) string {
	if item.Was == nil {
		return ""
	}
	return fmt.Sprintf(", was %s, agreed to by %s on %s", shortHash(item.Was.Hash), term.Visible(item.Was.By), item.Was.When.UTC().Format(time.DateOnly))
}

// shortHash is enough of a hash to tell two apart by eye.
func shortHash(hash string) string {
	_, digits, found := strings.Cut(hash, ":")
	if !found {
		digits = hash
	}
	return term.Visible(digits[:min(len(digits), 12)])
}

// trustView is a report as --json gives it; contents of files stay out.
type trustView struct {
	Repository string     `json:"repository"`
	Base       string     `json:"base"`
	Digest     string     `json:"digest,omitempty"` // of what is not trusted; --yes takes it
	Items      []itemView `json:"items"`
}

type itemView struct {
	Kind  trust.Kind `json:"kind"`
	State string     `json:"state"`
	Hash  string     `json:"hash"`
	Was   *trust.Pin `json:"was,omitempty"`
	Paths []string   `json:"paths"`
	Lines []string   `json:"lines"`
}

func viewOf(seen trust.Report) trustView {
	view := trustView{Repository: seen.Repository, Base: seen.Base, Items: []itemView{}}
	if len(seen.Untrusted) > 0 {
		view.Digest = digestOf(seen)
	}
	add := func(items []trust.Item, trusted bool) {
		for _, item := range items {
			view.Items = append(view.Items, itemView{
				Kind: item.Kind, State: stateOf(item, trusted), Hash: item.Hash, Was: item.Was, Paths: item.Paths(), Lines: item.Lines,
			})
		}
	}
	add(seen.Untrusted, false)
	add(seen.Trusted, true)
	return view
}
