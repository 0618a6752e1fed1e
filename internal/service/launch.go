package service

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"agentprocess/internal/audit"
	"agentprocess/internal/gateway"
	"agentprocess/internal/hook"
	"agentprocess/internal/policy"
	"agentprocess/internal/proof"
	"agentprocess/internal/proxy"
	"agentprocess/internal/sandbox"
)

// agentHome is the home directory inside.
const agentHome = "/home/agent"

// proofTime bounds the proof at start: on a busy machine the probe may wait for
// a processor, and each attempt in it has some seconds.
const proofTime = 30 * time.Second

// recordTime bounds the wait for the gateway's own record of what the probe
// saw, which follows at once when it is really our gateway.
const recordTime = 2 * time.Second

// network is the gateway of a session and what serves it.
type network struct {
	proxy    *proxy.Server
	hooks    *hook.Server
	receipts *hook.Receipts
	gateway  *gateway.Gateway
	canary   proof.Plan
	trust    []string // variables that name the gateway's certificates
	seen     *seen
	broken   chan error // what must end the run
	egress   *liveEgress
	renewals *renewals
	door     *door
	cancel   context.CancelFunc
	ended    chan error
	watching sync.WaitGroup
}

// launch opens the gateway, starts the sandbox and proves it.
func (x *session) launch(ctx context.Context) error {
	if err := x.phase("gateway", x.openGateway); err != nil {
		return err
	}
	if err := x.phase("sandbox", func() (string, error) { return x.startSandbox(ctx) }); err != nil {
		return err
	}
	return x.phase("proof", func() (string, error) { return x.prove(ctx) })
}

// openGateway makes the gateway; it serves once the sandbox is there.
func (x *session) openGateway() (string, error) {
	n := &network{seen: &seen{}, broken: make(chan error, 1), receipts: hook.NewReceipts(agentHome)}
	x.net = n
	var err error
	if n.canary, err = proof.NewPlan(rand.Reader); err != nil {
		return "", err
	}
	set := policy.NewSet(x.chk.rules)
	n.proxy, err = proxy.New(proxy.Config{
		Agent:  x.opts.Name,
		Policy: set, Credentials: x.chk.credentials, Resolve: x.opts.Resolve,
		Upstream: x.chk.upstream, UpstreamRoots: x.svc.roots(), Record: x.recordRequest, Now: x.svc.Now,
	})
	if err != nil {
		return "", err
	}
	x.rec.Record(audit.EgressRules{Rules: recorded(x.chk.rules)})
	if n.egress, err = x.newLiveEgress(n.proxy); err != nil {
		return "", err
	}
	n.renewals = newRenewals(x.chk.sources, n.proxy.Renew, x.rec.Record, x.svc.Now)
	j, err := x.newJudge()
	if err != nil {
		return "", err
	}
	n.hooks = &hook.Server{
		Recorder: x.rec, Receipts: n.receipts, Nonce: n.canary.Nonce, Now: x.svc.Now,
		OnStop:      x.turn,
		OnViolation: n.breakRun,
		Decide:      func(ctx context.Context, c hook.Call, t hook.Talk) hook.Decision { return x.decide(ctx, j, c, t) },
	}
	n.gateway = gateway.New(n.proxy, n.hooks)
	return reachable(set), nil
}

// breakRun ends the run for the first reason that is given.
func (n *network) breakRun(err error) {
	select {
	case n.broken <- err:
	default:
	}
}

// recordRequest records what the gateway judged. The proof's own attempts are
// marked, so that they count as nobody's denials.
func (x *session) recordRequest(r audit.Request) {
	if x.net.canary.Canary(r) {
		x.net.seen.add(r)
		r.Rule = audit.ProofRule
		x.rec.Record(r)
		return
	}
	x.rec.Record(r)
	x.net.egress.denied(r)
	x.net.renewals.saw(r)
}

// startSandbox starts the agent's sandbox and serves its sockets.
func (x *session) startSandbox(ctx context.Context) (string, error) {
	home := filepath.Join(x.dir.path, "home")
	if err := makeOwned(home, x.chk.identity); err != nil {
		return "", err
	}
	if x.opts.resume != nil && x.talk.kept.Kept() {
		if err := x.talk.kept.Load(home, x.chk.identity); err != nil {
			return "", err
		}
	}
	toolPath, _ := x.svc.lookup("PATH")
	files, err := x.files(toolPath)
	if err != nil {
		return "", err
	}
	box, err := x.chk.chosen.runtime.Start(ctx, sandbox.Spec{
		ID: x.run.ID, Identity: x.chk.identity, Hostname: x.opts.Name, Home: agentHome,
		Mounts: append(append(x.ws.Mounts(), sandbox.Mount{Kind: sandbox.MountBind, Source: home, Target: agentHome}), x.chk.plan.Mounts...),
		Files:  files, ToolPath: toolPath, Network: sandbox.NetworkGateway, Limits: x.opts.Limits,
	})
	if err != nil {
		return "", err
	}
	x.box = box
	x.net.serve(ctx, box)
	facts := box.Facts()
	for _, n := range facts.Notes {
		x.warn("%s", n)
	}
	return describe(facts), nil
}

// serve serves the sandbox's sockets until close.
func (n *network) serve(ctx context.Context, box sandbox.Sandbox) {
	ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	n.ended = make(chan error, 1)
	go func() { n.ended <- n.gateway.Serve(ctx, box.Sockets()) }()
	if n.egress != nil { // a login has no list that changes
		n.watching.Go(func() { n.egress.watch(ctx) })
		n.watching.Go(func() { n.renewals.watch(ctx) })
	}
}

// close ends the gateway and waits for it; again does nothing.
func (n *network) close() error {
	if n == nil {
		return nil
	}
	n.door.close()
	if n.cancel == nil {
		return n.egress.close()
	}
	n.cancel()
	n.cancel = nil
	n.watching.Wait()
	return errors.Join(<-n.ended, n.egress.close())
}

// closeInside ends the gateway, so that nothing gets out any more, then the
// sandbox.
func (x *session) closeInside() error {
	err := x.net.close()
	if x.box != nil {
		err = errors.Join(err, x.box.Close())
	}
	return err
}

// files are what the agent finds inside besides its tree.
func (x *session) files(toolPath string) ([]sandbox.File, error) {
	files := append(slices.Clone(x.chk.plan.Files), x.chk.files...)
	files = append(files, sandbox.File{Path: gitConfigPath, Data: gitConfig(x.chk.rules)})
	ca := x.net.proxy.CAPEM()
	if len(ca) == 0 && !x.svc.ownTrust() {
		return files, nil
	}
	java := hasJava(toolPath)
	x.net.trust = trustEnv(java)
	trust, err := x.svc.trustFiles(ca, java)
	return append(files, trust...), err
}

// prove shows that nothing gets out and that a denial by hook gets through.
func (x *session) prove(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	hooked := make(chan error, 1)
	go func() { hooked <- x.proveHook(ctx) }()
	err := errors.Join(x.proveNetwork(ctx), <-hooked)
	if err != nil {
		return "", sandbox.Fail(sandbox.CodeProof, err, "the agent was not started; `agent-process doctor` shows what this host lacks")
	}
	return "nothing gets out, hooks deny", nil
}

// proveNetwork runs the probe inside and holds it against the gateway's record.
func (x *session) proveNetwork(ctx context.Context) error {
	var out bytes.Buffer
	exit, err := x.exec(ctx, sandbox.Command{Argv: []string{sandbox.BinaryPath, proof.Verb, x.net.canary.Arg()}, Stdout: &out})
	if err != nil {
		return err
	}
	if exit.Code != 0 {
		return fmt.Errorf("the probe inside ended with %d", exit.Code)
	}
	report, err := proof.ParseReport(out.Bytes())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	return proof.Judge(x.net.canary, report, x.net.seen.wait(ctx, report.Witnessed()))
}

// proveHook makes the canary call through the very client the agent will use.
func (x *session) proveHook(ctx context.Context) error {
	call, err := x.net.hooks.Canary()
	if err != nil {
		return err
	}
	exit, err := x.exec(ctx, sandbox.Command{Argv: []string{sandbox.BinaryPath, hook.Verb}, Stdin: bytes.NewReader(call)})
	if err != nil {
		return err
	}
	return x.net.hooks.CanaryProved(exit.Code)
}

// exec runs a command of ours inside, to its end.
func (x *session) exec(ctx context.Context, cmd sandbox.Command) (sandbox.Exit, error) {
	proc, err := x.box.Exec(ctx, cmd)
	if err != nil {
		return sandbox.Exit{}, err
	}
	return proc.Wait()
}

// describe is a line about what the sandbox really has.
func describe(f sandbox.Facts) string {
	who := "root"
	if f.Rootless {
		who = "rootless"
	}
	parts := []string{f.Runtime, who, fmt.Sprintf("landlock %d", f.LandlockABI)}
	for _, name := range []string{"memory", "pids", "cpus", "disk"} {
		if by := f.LimitedBy[name]; by != "" {
			parts = append(parts, name+" by "+by)
		}
	}
	return strings.Join(parts, ", ")
}

// reachable says how much an agent may reach.
func reachable(set *policy.Set) string {
	rules := 0
	for _, r := range set.Rules() {
		if !r.Deny {
			rules++
		}
	}
	switch rules {
	case 0:
		return "nothing may be reached"
	case 1:
		return "1 name may be reached"
	default:
		return fmt.Sprintf("%d names may be reached", rules)
	}
}
