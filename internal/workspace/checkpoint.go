package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"agentprocess/internal/sandbox"
)

// Checkpoint is a place that an agent can be taken back to. It is a commit under
// a ref of its own, refs/agents/<name>/checkpoints/<step>, on the commit that
// the branch was at; git's collection of garbage leaves both alone.
type Checkpoint struct {
	Step int       `json:"step"`
	Tip  string    `json:"tip"`            // of the branch
	Base string    `json:"base,omitempty"` // where the work began then
	Time time.Time `json:"time"`
	Text string    `json:"text,omitempty"` // the agent's last words; hostile
	// Note is the caller's own.
	Note json.RawMessage `json:"note,omitempty"`
}

// maxCheckpointText bounds the words that a checkpoint keeps.
const maxCheckpointText = 200

func checkpointRef(name string, step int) string {
	return fmt.Sprintf("%s%s/%06d", pinPrefix(name), checkpointName, step)
}

// Checkpoint writes down where the agent called name is, and gives the number;
// with a Step, that one is written anew.
func (r *Repository) Checkpoint(ctx context.Context, name string, c Checkpoint) (int, error) {
	if err := sandbox.ValidateName(name); err != nil {
		return 0, err
	}
	err := r.locked(ctx, func() error {
		list, err := r.Checkpoints(ctx, name)
		if err != nil {
			return err
		}
		if c.Step == 0 {
			c.Step = 1
			if len(list) > 0 {
				c.Step = list[len(list)-1].Step + 1
			}
		}
		c.Time = r.cfg.Now()
		if runes := []rune(oneLine(c.Text)); len(runes) > maxCheckpointText {
			c.Text = string(runes[:maxCheckpointText]) + "…"
		}
		record, err := json.Marshal(c)
		if err != nil {
			return err
		}
		id := r.git.identity
		tree := r.common("commit-tree", c.Tip+"^{tree}", "-p", c.Tip)
		tree.stdin = strings.NewReader(string(record) + "\n")
		tree.env = []string{"GIT_AUTHOR_NAME=" + id.Name, "GIT_AUTHOR_EMAIL=" + id.Email}
		commit, err := r.git.line(ctx, tree)
		if err != nil {
			return err
		}
		return r.updateRefs(ctx, "agent-process: checkpoint of "+name, "update "+checkpointRef(name, c.Step)+" "+commit+"\n")
	})
	if err != nil {
		return 0, fmt.Errorf("checkpoint of %q: %w", name, err)
	}
	return c.Step, nil
}

// Checkpoints lists the checkpoints of an agent, oldest first.
func (r *Repository) Checkpoints(ctx context.Context, name string) ([]Checkpoint, error) {
	out, err := r.git.run(ctx, r.common("for-each-ref", "--format=%(refname)%00%(parent)%00%(contents:subject)", pinPrefix(name)+checkpointName))
	if err != nil {
		return nil, fmt.Errorf("list the checkpoints of %q: %w", name, err)
	}
	return parseCheckpoints(out)
}

// parseCheckpoints reads lines of ref NUL parent NUL JSON.
func parseCheckpoints(out []byte) ([]Checkpoint, error) {
	var list []Checkpoint
	for line := range strings.Lines(string(out)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\x00", 3)
		if len(f) != 3 {
			return nil, fmt.Errorf("checkpoint line %q is not understood", line)
		}
		step, err := strconv.Atoi(f[0][strings.LastIndexByte(f[0], '/')+1:])
		var c Checkpoint
		if err != nil || json.Unmarshal([]byte(f[2]), &c) != nil || !isObjectID(f[1]) {
			continue // somebody else's idea of such a name
		}
		c.Step, c.Tip = step, f[1]
		list = append(list, c)
	}
	return list, nil
}

// FindCheckpoint gives the checkpoint of an agent with a number.
func (r *Repository) FindCheckpoint(ctx context.Context, name string, step int) (Checkpoint, error) {
	list, err := r.Checkpoints(ctx, name)
	if err != nil {
		return Checkpoint{}, err
	}
	for _, c := range list {
		if c.Step == step {
			return c, nil
		}
	}
	return Checkpoint{}, sandbox.Fail(sandbox.CodeNotFound, fmt.Errorf("agent %q has no checkpoint %d", name, step),
		"see which there are: agent-process checkpoints "+name)
}

// Rewind moves the branch of an agent back, or forward, to a checkpoint. The
// journal has it before, with notes, and keeps where the branch was; then also
// is run, then the branch moves.
func (r *Repository) Rewind(ctx context.Context, name string, to Checkpoint, notes map[string]string, also func() error) (Entry, error) {
	var e Entry
	err := r.locked(ctx, func() error {
		if err := r.checkNotCheckedOut(name); err != nil {
			return err
		}
		tip, base, err := r.Place(ctx, name)
		if err != nil {
			return err
		}
		if tip == "" {
			return sandbox.Fail(sandbox.CodeNotFound, errors.New("branch "+Branch(name)+" is gone"), "`agent-process undo --list` shows what can be brought back")
		}
		text := fmt.Sprintf("rewind agent %s to step %d", name, to.Step)
		refs, script := map[string]string{branchRef(name): to.Tip}, "update "+branchRef(name)+" "+to.Tip+" "+tip+"\n"
		if to.Base != "" && to.Base != base {
			refs[pinPrefix(name)+"base"] = to.Base
			script += "update " + pinPrefix(name) + "base " + to.Base + "\n"
		}
		if e, err = r.journal(ctx, Deed{Op: "rewind", Agent: name, Text: text, Refs: refs, Notes: notes}); err != nil {
			return err
		}
		if err := also(); err != nil {
			return err
		}
		return r.updateRefs(ctx, "agent-process: "+text, script)
	})
	if err != nil {
		return e, fmt.Errorf("rewind %q: %w", name, err)
	}
	return e, nil
}
