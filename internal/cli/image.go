package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"agentprocess/internal/image"
	"agentprocess/internal/report"
	"agentprocess/internal/service"
	"agentprocess/internal/term"
)

// imageOptions are what `image` was given.
type imageOptions struct {
	service.ImageOptions
	resolve          []string
	all, quiet, json bool
}

func newCmdImage(d *deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Build, list and remove images that agents of a project run in",
		Long: `image makes the system of a project's agents, which start uses with --image .
(or image = "." in config.toml): from .agent-process/Dockerfile of the commit, or
else its .devcontainer/devcontainer.json, or else a small built-in default.` + exitStatus(),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCmdImageBuild(d), newCmdImageList(d), newCmdImagePrune(d))
	return cmd
}

func (o *imageOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.Backend.Runtime, "runtime", "", `the engine: "docker" or "podman" (default: what config.toml says, or the first that answers)`)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
}

// open gives the service, and checks the engine.
func (o *imageOptions) open(ctx context.Context, d *deps, cmd *cobra.Command) (*service.Service, error) {
	if !slices.Contains([]string{"", "docker", "podman"}, o.Backend.Runtime) {
		return nil, usage(cmd, "--runtime %q: there are %q and %q", o.Backend.Runtime, "docker", "podman")
	}
	svc, err := d.service(ctx)
	if err == nil && o.Backend.Runtime == "" && svc.Config.Backend.Runtime != "native" {
		o.Backend.Runtime = svc.Config.Backend.Runtime
	}
	return svc, err
}

func newCmdImageBuild(d *deps) *cobra.Command {
	o := &imageOptions{}
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the project's image, unless it is there",
		Long: `build makes the image of the project as it is in a commit. What the repository
says about it counts once you have looked at it with agent-process trust.

Programs of the build reach what agents of the project may reach, and nothing
else. Images that it begins with must be there: nothing is pulled. An image is
built again when what it is made of has changed.` + exitStatus(
			"\n  10  no engine answers, an image is missing, or the build failed",
			exitRepository,
			"\n  15  nobody has agreed to what says how it is made, or it asks for what cannot be had"),
		Example: `  agent-process trust
  agent-process image build --allow preset:debian
  agent-process start docs "Describe main.go" --image .`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runImageBuild(cmd.Context(), d, cmd, o) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Base, "base", "", "the commit that says how it is made (default HEAD)")
	f.StringArrayVar(&o.Allow, "allow", nil, "let the build reach `RULE` (repeatable)")
	f.StringArrayVar(&o.resolve, "resolve", nil, "dial `HOST=ADDR[:PORT]` for a name, also in a private network (repeatable)")
	f.BoolVar(&o.Rebuild, "rebuild", false, "build it also when it is there")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "show steps only, not what their programs say")
	return cmd
}

func runImageBuild(ctx context.Context, d *deps, cmd *cobra.Command, o *imageOptions) error {
	svc, err := o.open(ctx, d, cmd)
	if err != nil {
		return err
	}
	if o.Resolve, err = parseResolve(cmd, o.resolve); err != nil {
		return err
	}
	o.Dir, o.Progress = ".", d.progress
	if !o.quiet {
		paint := d.streams.Err.Paint()
		o.Output = func(line string) { fmt.Fprintf(d.streams.Err, "  %s\n", paint.Dim(term.Visible(line))) }
	}
	res, err := svc.BuildImage(ctx, o.ImageOptions)
	switch {
	case err != nil:
		return err
	case o.json:
		return report.JSON(d.streams.Out, res)
	case res.Cached:
		fmt.Fprintf(d.streams.Out, "%s is there already, from %s\n", res.Tag, term.Visible(res.Source))
	default:
		fmt.Fprintf(d.streams.Out, "built %s from %s\n", res.Tag, term.Visible(res.Source))
	}
	fmt.Fprintf(d.streams.Out, "use it: agent-process start NAME GOAL --image %s\n", image.Project)
	return nil
}

func newCmdImageList(d *deps) *cobra.Command {
	o := &imageOptions{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show images that were built here",
		Long:  "list shows the images that agent-process built, of all projects, newest first." + exitStatus("\n  10  no engine answers"),
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			svc, err := o.open(cmd.Context(), d, cmd)
			if err != nil {
				return err
			}
			images, err := svc.Images(cmd.Context(), o.Backend)
			switch {
			case err != nil:
				return err
			case o.json:
				return report.JSON(d.streams.Out, append([]image.Built{}, images...))
			}
			return listImages(d.streams.Out, images, time.Now())
		},
	}
	o.flags(cmd)
	return cmd
}

func listImages(out *term.Screen, images []image.Built, now time.Time) error {
	if len(images) == 0 {
		fmt.Fprintln(out, "no images yet: agent-process image build")
		return nil
	}
	t := term.Table{Columns: []term.Column{{Title: "IMAGE"}, {Title: "AGE", Right: true}, {Title: "SIZE", Right: true}, {Title: "FROM"}, {Title: "PROJECT", Shrink: true}}}
	for _, i := range images {
		t.Add(term.Cell{Text: imageName(i), Style: term.StyleBold}, term.Text(report.Age(now.Sub(i.Created))), term.Text(report.Bytes(i.Bytes)), term.Text(i.Source), term.Text(i.Project))
	}
	return t.Write(out)
}

func imageName(i image.Built) string {
	if i.Tag == "" {
		return i.ID
	}
	return i.Tag
}

func newCmdImagePrune(d *deps) *cobra.Command {
	o := &imageOptions{}
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove images that were built here and replaced since",
		Long: `prune removes the images that agent-process built, but for the newest one of
each project; --all removes those too. An image that a container uses stays. What
is removed can be built again.` + exitStatus("\n  10  no engine answers"),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runImagePrune(cmd.Context(), d, cmd, o) },
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.all, "all", false, "also the newest one of each project")
	return cmd
}

func runImagePrune(ctx context.Context, d *deps, cmd *cobra.Command, o *imageOptions) error {
	svc, err := o.open(ctx, d, cmd)
	if err != nil {
		return err
	}
	pruned, err := svc.PruneImages(ctx, o.Backend, o.all)
	if err != nil {
		return err
	}
	if o.json {
		return report.JSON(d.streams.Out, append([]service.PrunedImage{}, pruned...))
	}
	for _, p := range pruned {
		if p.Kept != "" {
			fmt.Fprintf(d.streams.Out, "kept %s: %s\n", term.Visible(imageName(p.Built)), term.Visible(p.Kept))
			continue
		}
		fmt.Fprintf(d.streams.Out, "removed %s, %s\n", term.Visible(imageName(p.Built)), report.Bytes(p.Bytes))
	}
	if len(pruned) == 0 {
		fmt.Fprintln(d.streams.Out, "nothing to remove")
	}
	return nil
}
