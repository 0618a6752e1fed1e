package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"agentprocess/internal/report"
	"agentprocess/internal/service"
)

func newCmdURL(d *deps) *cobra.Command {
	var listen string
	var json bool
	cmd := &cobra.Command{
		Use:   "url NAME PORT...",
		Short: "Open what a running agent serves on a port, while this runs",
		Long: `url forwards a loopback address of this machine to a port of an agent's sandbox,
until Ctrl-C or the end of the run. An agent has the same address each time and
another one than other agents, so that all of them may serve on port 3000.

Nothing is opened but loopback, and no port but those that you name. Every
program on this machine can use it meanwhile. What an agent serves is its own:
look at it as at a page of a stranger.` + exitStatus(exitRepository, "\n  14  there is no such agent, or it is not running", "\n  17  the address is in use, or the agent has not begun"),
		Example: "  agent-process url docs 3000\n  agent-process url docs 80 --listen 8080",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage(cmd, "%d arguments, want NAME PORT", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o := service.ForwardOptions{Dir: ".", Name: args[0]}
			for _, text := range args[1:] {
				port, err := service.ParsePort(text)
				if err != nil {
					return usage(cmd, "%w", err)
				}
				o.Ports = append(o.Ports, port)
			}
			if cmd.Flags().Changed("listen") {
				port, err := service.ParsePort(listen)
				if err != nil || len(o.Ports) > 1 {
					return usage(cmd, "--listen %q: want one port, for one port", listen)
				}
				o.Listen = port
			}
			return runURL(cmd.Context(), d, o, json)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "the `PORT` here, if not the same")
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

func runURL(ctx context.Context, d *deps, o service.ForwardOptions, json bool) error {
	svc, err := d.service(ctx)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var unsaid error
	o.Ready = func(all []service.Forwarded) {
		if json {
			unsaid = report.JSON(d.streams.Out, all)
			return
		}
		for _, f := range all {
			fmt.Fprintln(d.streams.Out, f.URL)
		}
		fmt.Fprintln(d.streams.Err, "agent-process: open until Ctrl-C")
	}
	if err := svc.Forward(ctx, o); err != nil {
		return err
	}
	return unsaid
}
