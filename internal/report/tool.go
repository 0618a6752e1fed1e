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

// treeMark is how the path of a run's tree ends: a run's id is its agent's
// name, a dash and a random number.
func treeMark(run string) string {
	name, _, found := cutLast(run, "-")
	if !found || name == "" {
		return ""
	}
	return "/worktrees/" + name + "/"
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// inTree writes absolute paths in an agent's tree as people think of them:
// from the top of the tree.
func inTree(text, mark string) string {
	if mark == "" {
		return text
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, mark)
		if !found {
			break
		}
		start := strings.LastIndexAny(before, " \t\n\"'`=:(") + 1
		if start < len(before) && before[start] == '/' {
			b.WriteString(before[:start])
		} else {
			b.WriteString(before + mark) // no path of ours
		}
		text = after
	}
	return b.String() + text
}
