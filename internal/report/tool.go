package report

import (
	"encoding/json"
	"fmt"
	"strings"

	"agentprocess/internal/audit"
)

// subjectKeys are the inputs that say best what a call does, in order.
func subjectKeys() []string {
	return []string{
		"command", "file_path", "notebook_path", "path", "pattern", "url", "query", "description", "prompt", "skill", "name",
	}
}

// subject is what a tool call is about, on one line: its command, file,
// pattern or the like, and otherwise its whole input.
func subject(c audit.ToolCall) string {
	var input map[string]any
	if err := json.Unmarshal(c.Input, &input); err != nil {
		return firstLine(string(c.Input))
	}
	if c.Name == "Grep" || c.Name == "Glob" {
		return firstLine(fmt.Sprint(input["pattern"]))
	}
	if todos, ok := input["todos"].([]any); ok {
		return plural(len(todos), "item")
	}
	for _, key := range subjectKeys() {
		if text, ok := input[key].(string); ok && text != "" {
			return firstLine(text)
		}
	}
	if len(input) == 0 {
		return ""
	}
	return firstLine(string(c.Input))
}

// firstLine is the first line that is not empty, marked when there are more.
func firstLine(text string) string {
	text = strings.TrimSpace(text)
	line, rest, _ := strings.Cut(text, "\n")
	line = strings.TrimRight(line, " \r")
	if rest != "" {
		line += " …"
	}
	return line
}
