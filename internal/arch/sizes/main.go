// Command sizes prints the measures of the Go source below a directory: how
// long files and functions are, and what is documented.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"agentprocess/internal/arch"
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	tree, err := arch.Read(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sizes:", err)
		os.Exit(1)
	}
	report(os.Stdout, tree)
}

// measures are the numbers of a tree, of what is not test code but for lines.
type measures struct {
	files, functions, parameters, fields, methods []int
	lines, testLines, exported, documented, long  int
	fuzz, sleeps                                  int
}

func measure(tree arch.Tree) measures {
	var m measures
	for _, f := range tree.Files {
		m.sleeps += f.Calls["time.Sleep"]
		if f.Test {
			m.testLines += f.Lines
			m.fuzz += f.Calls["testing.F"]
			continue
		}
		m.lines += f.Lines
		m.files = append(m.files, f.Lines)
		m.exported, m.documented = m.exported+f.Exported, m.documented+f.Documented
		for _, fn := range f.Functions {
			m.functions = append(m.functions, fn.Lines)
			m.parameters = append(m.parameters, fn.Parameters)
			if fn.Lines > 80 {
				m.long++
			}
		}
		for _, s := range f.Structs {
			m.fields = append(m.fields, s.Members)
		}
		for _, i := range f.Interfaces {
			m.methods = append(m.methods, i.Members)
		}
	}
	return m
}

func report(w io.Writer, tree arch.Tree) {
	m := measure(tree)
	row := func(name string, values []int) {
		fmt.Fprintf(w, "%-22s %6d  median %3d  p90 %3d  max %3d\n", name, len(values), at(values, 0.5), at(values, 0.9), at(values, 1))
	}
	fmt.Fprintf(w, "%-22s %6d  of tests %d\n", "lines", m.lines, m.testLines)
	row("files (lines)", m.files)
	row("functions (lines)", m.functions)
	row("functions (parameters)", m.parameters)
	row("structs (fields)", m.fields)
	row("interfaces (methods)", m.methods)
	fmt.Fprintf(w, "%-22s %6d  documented %d\n", "exported names", m.exported, m.documented)
	fmt.Fprintf(w, "%-22s %6d\n", "functions over 80", m.long)
	fmt.Fprintf(w, "%-22s %6d\n", "fuzz targets", m.fuzz)
	fmt.Fprintf(w, "%-22s %6d\n", "sleeps", m.sleeps)
}

// at is the value below which a share of values lie.
func at(values []int, share float64) int {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(share*float64(len(sorted)-1))]
}
