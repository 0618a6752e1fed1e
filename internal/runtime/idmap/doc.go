// Package idmap shows files of root's as an agent's: what only root may read on
// the host, as with a umask of 077, an agent may read where it is mounted.
//
//	ns, err := namespaces.Namespace(ctx, identity)
//	err = idmap.Tree(detachedMount, ns)
//
// Only root can do it, and only for file systems that support it.
package idmap
