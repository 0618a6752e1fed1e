package toolpolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"agentprocess/internal/shell"
)

// kind is what a tool does with the world, as far as rules can see.
type kind uint8

const (
	kindOther kind = iota
	kindShell
	kindFile  // one path
	kindPatch // a patch that names paths
	kindURL
)

// toolSpec says how a tool's input is read.
type toolSpec struct {
	kind     kind
	key      string // of the input: the command, the path, the patch, the URL
	optional bool   // the key need not be there
	access
}

// toolOf knows the tools of the agents' CLIs, by lower-case name.
func toolOf(name string) toolSpec {
	switch strings.ToLower(name) {
	case "bash", "shell", "local_shell", "shell_command", "run_shell_command", "exec_command", "run_terminal_cmd", "container.exec", "monitor":
		return toolSpec{kind: kindShell, key: "command"}
	case "read", "read_file", "view":
		return toolSpec{kind: kindFile, key: "file_path", access: read}
	case "notebookread":
		return toolSpec{kind: kindFile, key: "notebook_path", access: read}
	case "grep", "glob", "ls", "list_directory", "search_file_content":
		return toolSpec{kind: kindFile, key: "path", optional: true, access: read}
	case "write", "edit", "multiedit", "write_file", "edit_file", "replace":
		return toolSpec{kind: kindFile, key: "file_path", access: write}
	case "notebookedit":
		return toolSpec{kind: kindFile, key: "notebook_path", access: write}
	case "apply_patch":
		return toolSpec{kind: kindPatch, key: "input"}
	case "webfetch", "web_fetch":
		return toolSpec{kind: kindURL, key: "url"}
	case "websearch", "web_search", "google_web_search":
		return toolSpec{kind: kindURL, key: "allowed_domains", optional: true}
	}
	return toolSpec{}
}

// subject is one thing of a call that rules are held against: a command of a
// line, or all that another tool does.
type subject struct {
	tool, mcp string
	cmd       *command
	env       []shell.Word // NAME=VALUE
	targets   []target
	urls      []location
	oddURL    bool // one of its URLs could not be read
	earlier   []*command
	// of is the command among whose words this one stands: it may start it.
	of *subject
}

// scene is a call, taken apart.
type scene struct {
	subjects []*subject
	// odd says what of a command line was not understood.
	odd []string
	// code is the line when it has code of another language, codeIn, that
	// starts programs.
	code, codeIn string
	// line is what the call runs if shell is set.
	shell bool
	line  string
}

// errMalformed is input that is not what the tool takes.
var errMalformed = errors.New("the tool's input is not understood")

// open takes a call apart.
func open(c Call) (scene, error) {
	if c.Phase == Stop {
		return scene{subjects: []*subject{{tool: c.Tool}}}, nil
	}
	input := map[string]json.RawMessage{}
	if len(c.Input) > 0 {
		if err := json.Unmarshal(c.Input, &input); err != nil {
			return scene{}, fmt.Errorf("%w: %w", errMalformed, err)
		}
	}
	s := &subject{tool: c.Tool}
	if rest, ok := strings.CutPrefix(c.Tool, "mcp__"); ok {
		server, name, _ := strings.Cut(rest, "__")
		s.mcp = server + "/" + name
	}
	spec := toolOf(c.Tool)
	if spec.kind == kindOther {
		return s.openOther(input)
	}
	texts, err := stringsOf(input, spec.key)
	if len(texts) == 0 && err == nil && spec.key == "file_path" {
		texts, err = stringsOf(input, "path", "absolute_path", "filename")
	}
	if len(texts) == 0 && err == nil && spec.kind == kindShell {
		texts, err = stringsOf(input, "cmd", "script")
	}
	if err == nil && len(texts) == 0 && !spec.optional {
		err = fmt.Errorf("%w: it has no %q", errMalformed, spec.key)
	}
	if err != nil {
		return scene{}, err
	}
	return s.openKnown(spec, texts, input)
}

func (s *subject) openKnown(spec toolSpec, texts []string, input map[string]json.RawMessage) (scene, error) {
	switch spec.kind {
	case kindShell:
		return openLine(s, commandLine(input, spec.key, texts)), nil
	case kindFile:
		s.addPaths(texts, spec.access)
		if strings.EqualFold(s.tool, "glob") || strings.EqualFold(s.tool, "grep") {
			return scene{subjects: []*subject{s}}, s.addGlob(input, texts)
		}
	case kindPatch:
		s.addPatch(strings.Join(texts, "\n"))
	case kindURL:
		for _, t := range texts {
			s.addURL(t)
		}
	default: // openOther's
	}
	return scene{subjects: []*subject{s}}, nil
}

// commandLine is a shell line; a list of words is quoted to be one.
func commandLine(input map[string]json.RawMessage, key string, texts []string) string {
	var one string
	if raw, ok := input[key]; len(texts) == 1 && (!ok || json.Unmarshal(raw, &one) == nil) {
		return texts[0]
	}
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = "'" + strings.ReplaceAll(t, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// stringsOf gives the strings of the first of the keys that is there: a
// string, or a list of strings.
func stringsOf(input map[string]json.RawMessage, keys ...string) ([]string, error) {
	for _, key := range keys {
		raw, ok := input[key]
		if !ok || string(raw) == "null" {
			continue
		}
		var one string
		if json.Unmarshal(raw, &one) == nil {
			return []string{one}, valid(one)
		}
		var list []string
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("%w: %q is no string", errMalformed, key)
		}
		return list, valid(list...)
	}
	return nil, nil
}

// valid refuses what no program can be given.
func valid(texts ...string) error {
	for _, t := range texts {
		if strings.ContainsRune(t, 0) {
			return fmt.Errorf("%w: it holds a zero byte", errMalformed)
		}
	}
	return nil
}

func (s *subject) addPaths(texts []string, what access) {
	for _, t := range texts {
		t = strings.TrimPrefix(t, "file://")
		s.targets = append(s.targets, target{text: t, known: true, access: what})
	}
}

// addGlob adds where a search by pattern looks.
func (s *subject) addGlob(input map[string]json.RawMessage, dirs []string) error {
	patterns, err := stringsOf(input, "glob")
	if strings.EqualFold(s.tool, "glob") && err == nil {
		patterns, err = stringsOf(input, "pattern")
	}
	for _, p := range patterns {
		if len(dirs) > 0 && !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "~") {
			p = dirs[0] + "/" + p
		}
		if !strings.ContainsAny(p, `*?[{`) {
			s.addPaths([]string{p}, read)
			continue
		}
		s.targets = append(s.targets, target{text: p, access: read})
	}
	return err
}

// addPatch adds the files of a patch in the form that Codex has.
func (s *subject) addPatch(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		for prefix, what := range map[string]access{
			"*** Add File: ": write, "*** Update File: ": write, "*** Delete File: ": remove, "*** Move to: ": write,
		} {
			if p, ok := strings.CutPrefix(line, prefix); ok {
				s.addPaths([]string{p}, what)
			}
		}
	}
}

func (s *subject) addURL(text string) {
	if file, ok := strings.CutPrefix(text, "file:"); ok {
		s.addPaths([]string{"/" + strings.TrimLeft(file, "/")}, read)
		return
	}
	l, ok := parseLocation(text)
	if !ok {
		s.oddURL = true
		return
	}
	s.urls = append(s.urls, l)
}

// openOther reads tools that are not known, those of MCP servers among them,
// by the names that their input gives to commands, paths and URLs.
func (s *subject) openOther(input map[string]json.RawMessage) (scene, error) {
	what := accessOf(s.tool)
	for _, key := range []string{
		"path", "paths", "file_path", "filepath", "filePath", "file", "files", "filename", "notebook_path", "relative_path", "absolute_path",
		"target_file", "source", "destination", "directory",
	} {
		// Elsewhere these keys are anything; what is no text is no path.
		if texts, err := stringsOf(input, key); err == nil {
			s.addPaths(texts, what)
		}
	}
	for _, key := range []string{"url", "urls", "uri"} {
		if texts, err := stringsOf(input, key); err == nil {
			for _, t := range texts {
				s.addURL(t)
			}
		}
	}
	if runs(s.tool) {
		if texts, err := stringsOf(input, "command", "cmd", "script"); err == nil && len(texts) > 0 {
			sc := openLine(s, commandLine(input, "command", texts))
			sc.subjects = append(sc.subjects, s)
			return sc, nil
		}
	}
	return scene{subjects: []*subject{s}}, nil
}

// runs says whether a tool's name is that of one that runs commands.
func runs(tool string) bool {
	return containsAny(strings.ToLower(tool), "shell", "bash", "exec", "command", "terminal")
}

// accessOf guesses by its name what a tool does to the paths it is given.
func accessOf(tool string) access {
	name := strings.ToLower(tool[strings.LastIndex(tool, "__")+1:])
	switch {
	case containsAny(name, "delete", "remove", "unlink"):
		return remove
	case containsAny(name, "move", "rename"):
		return write | remove
	case containsAny(name, "write", "edit", "create", "update", "replace", "insert", "append", "save", "patch", "put"):
		return write
	case containsAny(name, "read", "get", "list", "search", "find", "view", "show", "stat", "info", "tree", "open", "grep", "glob", "fetch", "query"):
		return read
	}
	return read | write
}

func containsAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}
