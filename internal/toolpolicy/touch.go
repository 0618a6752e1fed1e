package toolpolicy

import "encoding/json"

// Touched is what a tool call does by its own words.
type Touched struct {
	// Shell says that it runs Line.
	Shell bool
	Line  string
	// Writes are the files that it names and writes, Removes those that it
	// deletes or moves, as they were said. What a line of shell does to files
	// is not among them.
	Writes, Removes []string
}

// Touch tells what a tool call does, of the tools of MCP servers by what the
// names of the tool and of its input say.
func Touch(tool string, input json.RawMessage) (Touched, error) {
	sc, err := open(Call{Phase: Pre, Tool: tool, Input: input})
	if err != nil {
		return Touched{}, err
	}
	t := Touched{Shell: sc.shell, Line: sc.line}
	for _, s := range sc.subjects {
		for _, to := range s.targets {
			switch {
			case s.cmd != nil || !to.known || to.text == "":
			case to.access&remove != 0:
				t.Removes = append(t.Removes, to.text)
			case to.access&write != 0:
				t.Writes = append(t.Writes, to.text)
			}
		}
	}
	return t, nil
}
