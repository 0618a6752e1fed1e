// Package app is the composition root: the one place that knows which runtime,
// store and secret store a Service is made of.
//
//	svc, done, err := app.New(ctx, app.Options{Environ: os.Environ()})
//	defer done()
//
// Only the command line and the end-to-end tests import it. It must hold no
// logic: what can be decided is decided in package service.
package app
