package scripted

import (
	"embed"
	"time"
)

//go:embed demo
var demoFiles embed.FS

// exampleFiles are the files of the example project. They are kept here once
// more because a module cannot embed the files of another, and example/ is one.
func exampleFiles() []string { return []string{"README.md", "go.mod", "main.go", "main_test.go"} }

// Example is the project that the demo works on: name to content.
func Example() map[string]string {
	files := make(map[string]string, len(exampleFiles()))
	for _, name := range exampleFiles() {
		files[name] = demoFile("before/" + name)
	}
	return files
}

// demoFile is one of the embedded files; a test reads them all.
func demoFile(name string) string {
	data, err := demoFiles.ReadFile("demo/" + name + ".txt")
	if err != nil {
		return ""
	}
	return string(data)
}

// demoPause is between two answers, so that a person can follow.
const demoPause = Duration(400 * time.Millisecond)

// Demo is the script of `agent-process demo`: it documents the main.go of the
// example project, checks it and says so.
func Demo() Script {
	after := demoFile("after/main.go")
	file := "{{cwd}}/main.go"
	return Script{Conversations: []Conversation{{
		Name: "document main.go",
		Turns: []Turn{
			{
				Pause: demoPause,
				Text:  "I'll read main.go first, and the test, to document what the code really does.",
				Tools: []Tool{
					{Name: "Read", Input: map[string]any{"file_path": file}},
					{Name: "Read", Input: map[string]any{"file_path": "{{cwd}}/main_test.go"}},
				},
			},
			{
				Pause: demoPause,
				Text:  "The code is clear but says nothing about itself. I'll add a package comment and one for each function, and leave the behaviour alone.",
				Tools: []Tool{{Name: "Write", Input: map[string]any{"file_path": file, "content": after}}},
			},
			{
				Pause: demoPause,
				Text:  "Now I check that it is formatted, vets clean and still passes its test.",
				Tools: []Tool{{Name: "Bash", Input: map[string]any{
					"command":     `test -z "$(gofmt -l .)" && go vet ./... && go test ./...`,
					"description": "Format check, vet and test",
				}}},
			},
			{
				Pause: demoPause,
				Text:  "Done: main.go now has a package comment and a comment on every function, including why the greeting falls back to \"world\". Nothing else changed.",
			},
		},
	}}}
}

// Documented is main.go of the example project as the script leaves it.
func Documented() string { return demoFile("after/main.go") }
