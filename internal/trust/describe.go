package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxLines and maxLine bound what is said of an item.
	maxLines = 60
	maxLine  = 240
	// maxParsed bounds a file that is looked into; Claude Code reads no larger
	// settings.
	maxParsed = 1 << 20
)

// lines collects what is said of an item.
type lines struct {
	list []string
	more int
}

func (l *lines) add(format string, args ...any) {
	if len(l.list) >= maxLines {
		l.more++
		return
	}
	l.list = append(l.list, cut(fmt.Sprintf(format, args...)))
}

func (l *lines) done() []string {
	if l.more > 0 {
		l.list = append(l.list, fmt.Sprintf("and %d more", l.more))
	}
	return l.list
}

// describe says what the files of an item would do.
func describe(k Kind, files []File) []string {
	l := &lines{}
	for _, f := range files {
		if !f.Regular() {
			l.add("%s is %s: it is not followed and does nothing", show(f.Path), oddity(f))
			continue
		}
		switch k {
		case KindHooks:
			l.hook(f)
		case KindPolicy, KindAllowlist, KindRegistries:
			l.text(f)
		case KindImage:
			l.add("%s: %d bytes", show(f.Path), len(f.Data))
			l.text(f)
		case KindMCP:
			l.mcp(f)
		case KindSettings:
			l.settings(f)
		case KindSkills, KindAgents, KindCommands, KindOutputStyles:
			l.prompt(k, f)
		case KindPlugins:
			l.add("%s: %d bytes", show(f.Path), len(f.Data))
		}
	}
	return l.done()
}

// oddity names what is in the place of a file.
func oddity(f File) string {
	switch f.Mode & modeType {
	case modeLink:
		return "a link to " + show(string(f.Data[:min(len(f.Data), maxLine)]))
	case modeSubmodule:
		return "a submodule"
	default:
		return fmt.Sprintf("of the odd mode %o", f.Mode)
	}
}

// hook is a program of .agent-process/hooks.
func (l *lines) hook(f File) {
	switch first, _, _ := bytes.Cut(f.Data[:min(len(f.Data), 4096)], []byte("\n")); {
	case !f.Executable():
		l.add("%s: %d bytes, not executable", show(f.Path), len(f.Data))
	case bytes.HasPrefix(first, []byte("#!")):
		l.add("%s runs in a sandbox of its own and judges: %d bytes for %s", show(f.Path), len(f.Data), show(strings.TrimSpace(string(first[2:]))))
	default:
		l.add("%s runs in a sandbox of its own and judges: %d bytes", show(f.Path), len(f.Data))
	}
}

// text shows the lines of a file that say something.
func (l *lines) text(f File) {
	for line := range bytes.Lines(f.Data[:min(len(f.Data), maxParsed)]) {
		if s := strings.TrimSpace(string(line)); s != "" && s[0] != '#' {
			l.add("%s", show(s))
		}
	}
}

// prompt is a file that the model reads: its name, description, and what it
// makes run.
func (l *lines) prompt(k Kind, f File) {
	main := path.Base(f.Path) == "SKILL.md"
	if k == KindSkills && !main || !strings.HasSuffix(f.Path, ".md") {
		kind := "a file"
		if f.Executable() {
			kind = "a program"
		}
		l.add("%s: %s of %d bytes", show(f.Path), kind, len(f.Data))
		return
	}
	name := strings.TrimSuffix(path.Base(f.Path), ".md")
	if main {
		name = path.Base(path.Dir(f.Path))
	}
	data := f.Data[:min(len(f.Data), maxParsed)]
	about := field(data, "description")
	if about != "" {
		about = ": " + show(about)
	}
	l.add("%s %s (%s)%s", strings.TrimSuffix(string(k), "s"), show(name), show(f.Path), about)
	if tools := field(data, "allowed-tools") + field(data, "tools"); tools != "" {
		l.add("  with the tools %s", show(tools))
	}
	for _, key := range []string{"hooks", "mcpServers"} {
		if bytes.Contains(data, []byte("\n"+key+":")) {
			l.add("  brings %s of its own", key)
		}
	}
	for _, command := range inlineCommands(data) {
		l.add("  runs %s when it is used", show(command))
	}
}

// field is a one-line value of the front matter of a Markdown file.
func field(data []byte, key string) string {
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	head, ok := strings.CutPrefix(text, "---\n")
	if !ok {
		return ""
	}
	head, _, _ = strings.Cut(head, "\n---")
	for line := range strings.Lines(head) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// inlineCommands are the shell commands that a prompt has run before the model
// sees it: !`command`, or a block fenced by ```!.
func inlineCommands(data []byte) []string {
	var out []string
	for _, mark := range []struct{ open, end string }{{"!`", "`"}, {"```!", "```"}} {
		rest := string(data)
		for range maxLines {
			_, after, ok := strings.Cut(rest, mark.open)
			if !ok {
				break
			}
			var command string
			command, rest, _ = strings.Cut(after, mark.end)
			if s := strings.TrimSpace(command); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

// object reads a JSON object.
func object(data []byte) (map[string]any, error) {
	if len(data) > maxParsed {
		return nil, fmt.Errorf("%d bytes are too many", len(data))
	}
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\uFEFF"))))
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return m, nil
}

// mcp lists servers.
func (l *lines) mcp(f File) {
	m, err := object(f.Data)
	if err != nil {
		l.add("%s cannot be read: %s", show(f.Path), show(err.Error()))
		return
	}
	servers := child(m, "mcpServers")
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		s := child(servers, name)
		switch command, url := text(s["command"]), text(s["url"]); {
		case url != "":
			l.add("server %s talks to %s", show(name), show(url))
		default:
			l.add("server %s runs %s", show(name), show(strings.TrimSpace(command+" "+strings.Join(list(s["args"]), " "))))
		}
		for _, key := range slices.Sorted(maps.Keys(child(s, "env"))) {
			l.add("  with %s=%s", show(key), show(text(child(s, "env")[key])))
		}
		if helper := text(s["headersHelper"]); helper != "" {
			l.add("  asks %s for headers", show(helper))
		}
	}
}

// child is the object under a key, empty when there is none.
func child(m map[string]any, key string) map[string]any {
	c, _ := m[key].(map[string]any)
	return c
}

// list is an array of strings.
func list(v any) []string {
	var out []string
	elements, _ := v.([]any)
	for _, e := range elements {
		out = append(out, text(e))
	}
	return out
}

// text is a value on one line.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(b)
	}
}

// show makes every character of s visible, quoting it when that takes escapes.
func show(s string) string {
	s = cut(s)
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// cut bounds a line.
func cut(s string) string {
	if len(s) <= maxLine {
		return s
	}
	end := maxLine
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}
