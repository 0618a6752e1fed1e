// Package conversation keeps what an agent and its model said to each other
// between the agent's runs, outside of every sandbox.
//
//	c, err := conversation.Take(dir)        // one writer at a time, or ErrBusy
//	defer c.Close()
//	err = c.Load(home, owner)               // into the home of the next run
//	mark, err := c.Save(home, pattern, id)  // out of it again, at each checkpoint
//	head, err := c.Cut(mark)                // what it was at a checkpoint
//	err = c.Use(head)                       // the next run goes on from there
//
// A conversation is one file, which the agent's program only appends to, so that
// a place in it is a number of bytes: a [Mark], with a checksum of what comes
// before it. Rewinding starts a new file, a generation; the old ones stay, and
// [Conversation.Use] goes back to one.
//
// # Invariants
//
//   - The agent can write its home while it is read: files are opened below an
//     os.Root, regular ones only, up to [MaxBytes].
//   - What is kept is replaced whole or not at all; a crash costs at most what
//     was said since the last Save.
//   - Two processes never have the same conversation: the kernel lets go of the
//     lock when its holder dies.
//   - It is never put into the repository: it quotes files that must not be there.
//
// It must not know what is in the file.
package conversation
