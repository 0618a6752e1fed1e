// Package patch reads what git prints of a diff and shows it: coloured, word by
// word, side by side, as a summary, or as data.
//
//	files, err := patch.Parse(out, []patch.File{{Path: "main.go", Status: "M"}})
//	err = patch.Write(screen, files, patch.Style{Word: true})
//
// # Invariants
//
//   - All of it is the agent's text. Hunks are read by the line counts that git
//     put before them, so that no content can pass for the beginning of another
//     file; names come from the caller, never out of the text.
//   - Everything shown goes through [term.Visible]; nothing is left out of it,
//     and nothing is shown twice.
//   - Colours are made by one pass over each line, without regular expressions
//     that hostile text could keep busy: the reason why this is no library of
//     languages.
//
// It must not run git, or know of agents.
package patch
