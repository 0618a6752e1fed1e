package shell_test

import (
	"strings"

	"agentprocess/internal/shell"
)

// show is a script in one line, for a reader: what is not known is "?" and its
// literal parts, "!" begins what was not understood.
//
//	git push [cd web] (sh -c)
func show(s shell.Script) string {
	var parts []string
	for _, c := range s.Commands {
		parts = append(parts, showCommand(c))
	}
	for _, u := range s.Unknown {
		parts = append(parts, "!"+u)
	}
	return strings.Join(parts, "; ")
}

func showCommand(c shell.Command) string {
	var b []string
	for _, w := range c.Words {
		b = append(b, showWord(w))
	}
	for _, w := range c.Writes {
		b = append(b, ">"+showWord(w))
	}
	for _, r := range c.Reads {
		b = append(b, "<"+showWord(r))
	}
	if c.Dir != (shell.Word{Known: true}) {
		b = append(b, "[cd "+showWord(c.Dir)+"]")
	}
	if len(c.Via) > 0 {
		b = append(b, "("+strings.Join(c.Via, ", ")+")")
	}
	return strings.Join(b, " ")
}

func showWord(w shell.Word) string {
	text := w.Text
	if text == "" && w.Known || strings.ContainsAny(text, " \n\t;") {
		text = "'" + strings.ReplaceAll(text, "\n", `\n`) + "'"
	}
	if !w.Known {
		return "?" + text
	}
	return text
}
