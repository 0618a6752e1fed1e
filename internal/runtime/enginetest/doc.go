// Package enginetest starts container engines of our own for tests and
// benchmarks, and makes their images, so that nothing of the person's is touched
// and nothing is pulled.
//
//	docker, err := enginetest.StartDocker(ctx, dir)
//	defer docker.Stop()
//	err = docker.Import(ctx, "agent-process-test", enginetest.Tools())
//
// An engine has its own data, sockets and process id file below a directory and
// runs in a mount and a network namespace of its own: what it mounts goes with
// it, and its containers reach nothing of this machine.
package enginetest
