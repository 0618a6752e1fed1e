package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"agentprocess/internal/agent"
	"agentprocess/internal/audit"
	"agentprocess/internal/conversation"
	"agentprocess/internal/hook"
	"agentprocess/internal/sandbox"
	"agentprocess/internal/store"
	"agentprocess/internal/workspace"
)

// talk is what is said in a run: by the agent and its model, which is kept for
// the next run, and by the person.
type talk struct {
	kept   *conversation.Conversation
	claims string // why the agent says that it failed

	mu      sync.Mutex
	session string // the agent's own id of the conversation
	said    string // the agent's last words
	step    workspace.Checkpoint
	handed  []store.Message // which the agent was given, and has not been heard of since
}

// conversationDir is where the conversation of an agent is kept.
func (s *Service) conversationDir(repo *workspace.Repository, name string) string {
	return filepath.Join(s.Paths.State, "conversations", repo.Key(), name)
}

// takeConversation takes an agent's conversation, so that nobody else has it.
func (s *Service) takeConversation(repo *workspace.Repository, name string) (*conversation.Conversation, error) {
	c, err := conversation.Take(s.conversationDir(repo, name))
	if errors.Is(err, conversation.ErrBusy) {
		return nil, sandbox.Fail(sandbox.CodeBusy, fmt.Errorf("agent %q is at work: %w", name, err),
			"`agent-process send "+name+" TEXT` tells it something; `agent-process stop "+name+"` ends it")
	}
	return c, err
}

// close lets go of the conversation; again does nothing.
func (t *talk) close() error {
	if t == nil || t.kept == nil {
		return nil
	}
	kept := t.kept
	t.kept = nil
	return kept.Close()
}

// beginTalk begins a conversation anew, or goes on with the one that is kept,
// and with what the person has said since.
func (x *session) beginTalk(ctx context.Context) error {
	if r := x.opts.resume; r != nil {
		x.talk.handed = r.waiting
		if r.text != "" {
			x.note("told by a person: %s", r.text)
		}
		if r.told != nil {
			return r.told()
		}
		return nil
	}
	late, err := x.svc.Store.Waiting(ctx, x.run.Repository, x.run.Name)
	for _, m := range late {
		x.warn("a message to an earlier agent of this name was never delivered: %s", m.Text)
	}
	return errors.Join(err, x.svc.Store.Delivered(ctx, late, x.svc.Now()), x.talk.kept.Reset())
}

// hear notes what a hook tells of the conversation. Whatever comes from the
// agent after it was given messages, it has had them.
func (x *session) hear(ctx context.Context, c hook.Call) {
	x.talk.mu.Lock()
	handed := x.talk.handed
	x.talk.handed = nil
	fresh := c.Session != "" && c.Session != x.talk.session && conversation.ValidSession(c.Session)
	if fresh {
		x.talk.session = c.Session
	}
	x.talk.mu.Unlock()
	if err := x.svc.Store.Delivered(ctx, handed, x.svc.Now()); err != nil {
		x.warn("%v", err)
	}
	if !fresh {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.run.Session = c.Session
	if err := errors.Join(x.dir.save(x.run), x.svc.Store.PutRun(ctx, x.run)); err != nil {
		x.warn("%v", err)
	}
}

// decide judges what a hook asks. At the end of a turn the agent gets what the
// person has sent meanwhile, and goes on.
func (x *session) decide(ctx context.Context, j *judge, c hook.Call, t hook.Talk) hook.Decision {
	x.hear(ctx, c)
	d := j.decide(ctx, c, t)
	if c.Event == hook.EventPostToolUse || c.Event == hook.EventPostToolUseFailure {
		d.Context = joinLines(d.Context, x.net.egress.tell())
	}
	if c.Event != hook.EventStop || !d.Allow {
		return d
	}
	waiting, err := x.svc.Store.Waiting(ctx, x.run.Repository, x.run.Name)
	if err != nil {
		x.warn("%v", err)
	}
	if len(waiting) == 0 {
		return x.verifyAtStop(ctx, c, t, d)
	}
	if err := t.Hold(ctx, saveTime); err == nil {
		x.turn(ctx, c)
	}
	x.talk.mu.Lock()
	x.talk.handed = waiting
	x.talk.mu.Unlock()
	for _, m := range waiting {
		x.note("told by a person: %s", m.Text)
	}
	return hook.Decision{Rule: audit.MessageRule, Reason: messageText(waiting)}
}

// messageText is what an agent is told of messages.
func messageText(messages []store.Message) string {
	texts := make([]string, len(messages))
	for i, m := range messages {
		texts[i] = m.Text
	}
	return "The person you work for has sent you this message. It is their instruction; act on it now.\n\n" + strings.Join(texts, "\n\n")
}

// keep keeps the conversation as it is now, for the next run, and gives the
// place in it; none when the agent has no conversation.
func (x *session) keep() (conversation.Mark, error) {
	x.talk.mu.Lock()
	session := x.talk.session
	x.talk.mu.Unlock()
	return keepConversation(x.talk.kept, x.chk.adapter, filepath.Join(x.dir.path, "home"), session)
}

func keepConversation(kept *conversation.Conversation, adapter any, home, session string) (conversation.Mark, error) {
	a, ok := adapter.(agent.Conversing)
	if !ok || session == "" {
		return conversation.Mark{}, nil
	}
	return kept.Save(home, a.SessionFile(session), session)
}

// closeInbox lets the run take no more messages, and says which came too late.
func (x *session) closeInbox(ctx context.Context) {
	late, err := x.svc.Store.CloseInbox(ctx, x.run)
	if err != nil {
		x.warn("%v", err)
	}
	if len(late) > 0 {
		x.warn("%d of your messages came too late for this run: `agent-process resume %s` delivers them", len(late), x.run.Name)
	}
}

// listen remembers the agent's last words.
func (t *talk) listen(p audit.Payload) {
	if say, ok := p.(audit.Say); ok {
		t.saying(say.Text)
	}
}

// saying remembers words of the agent's. A hook may tell of them before the
// transcript does.
func (t *talk) saying(text string) {
	if text == "" {
		return
	}
	t.mu.Lock()
	t.said = text
	t.mu.Unlock()
}

func (t *talk) lastSaid() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.said
}
