// Package secret is where an agent's credential rests on the host, and how it is
// known to be alive.
//
//	store := secret.Store{Dir: paths.CredentialsDir(), UID: os.Geteuid()}
//	cred, err := store.Find(os.Environ())
//	checker := secret.Checker{Client: client, Cache: store.CheckFile(), Now: time.Now}
//	status := checker.Status(ctx, cred, "https://api.anthropic.com")
//
// # Invariants
//
//   - A credential is a file of mode 0600 in a directory of mode 0700, both of
//     the user's own; anything weaker is refused, not repaired, for it may have
//     been read already. Writing is one step: temporary file, sync, rename.
//   - A value is a [policy.Secret]: it is in no error, log, argv or JSON but the
//     one file.
//   - Whether a credential is valid is found out by asking the API. That it is
//     there says nothing. What the API said is remembered for an hour.
//   - Inside a sandbox stands a [Credential.StandIn]: random, of the same shape,
//     worth nothing.
//
// A [Named] secret is the person's own, for hosts of their choice: its value is
// stored, or looked up where it rests at each start; that is the caller's to do.
//
// It must not run a login, nor refresh anything: rotating tokens belong to the
// program that has them.
package secret
