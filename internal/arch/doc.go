// Package arch holds the house rules that a machine can check: who may import
// whom, how long a file or a function may be, one package comment in doc.go,
// no init. Its test checks them; `go run ./internal/arch/sizes` prints the
// measures behind them.
//
//	tree, err := arch.Read("../..")
//	for _, f := range tree.Files { fmt.Println(f.Path, f.Lines) }
//
// # Invariants
//
//   - Every package of the module is named in the import table of the test:
//     a new one is a decision about where it stands.
//
// The package must not be imported by anything of the product.
package arch
