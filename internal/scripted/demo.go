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

// demoCheck compiles nothing: in a home that was never used, go vet and go test
// would build the standard library first, for a minute on a small machine.
const demoCheck = `if command -v go >/dev/null; then test -z "$(gofmt -l .)" && go doc -cmd -u -all .; else echo "no Go here to check with"; fi`

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
				Text:  "Now I check that it is formatted, and read the result the way a user of it would.",
				Tools: []Tool{{Name: "Bash", Input: map[string]any{
					"command":     demoCheck,
					"description": "Format check, and the documentation as go doc shows it",
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
