package shell_test

import (
	"os"
	"testing"

	"agentprocess/internal/shell"
)

// BenchmarkParse is the cost of a line that agents write all day, and of the
// whole table in one.
func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile(table)
	if err != nil {
		b.Fatal(err)
	}
	lines := map[string]string{
		"plain":  "cd web && npm ci && npm test 2>&1 | tail -50",
		"commit": "git add -A && git commit -m \"$(cat <<'EOF'\nA change\n\nand why\nEOF\n)\" && git status",
		"file":   "cat > table.txt <<'EOF'\n" + string(data) + "\nEOF\n",
	}
	for name, line := range lines {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				shell.Parse(line)
			}
		})
	}
}
