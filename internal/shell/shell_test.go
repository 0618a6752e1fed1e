package shell_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"agentprocess/internal/shell"
)

var update = flag.Bool("update", false, "rewrite testdata/lines.txt")

const (
	table     = "testdata/lines.txt"
	wantLines = 400
)

// show is a script as the table has it: an entry for each command, in which
// what is not known is "?" and its literal parts, and then what was not
// understood, after a "!".
//
//	git push [cd web] (sh -c)
func show(s shell.Script) []string {
	var parts []string
	for _, c := range s.Commands {
		parts = append(parts, showCommand(c))
	}
	for _, u := range s.Unknown {
		parts = append(parts, "!"+u)
	}
	return parts
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
		text = "'" + strings.NewReplacer("\n", "⏎", "\t", "⇥").Replace(text) + "'"
	}
	if !w.Known {
		return "?" + text
	}
	return text
}

// row is a line of shell and what is found in it.
type row struct {
	line string
	want []string
}

// rows reads the table. ⏎ and ⇥ stand for a newline and a tab.
func rows(t testing.TB) []row {
	t.Helper()
	data, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	var list []row
	for text := range strings.SplitSeq(string(data), "\n") {
		entry, found := strings.CutPrefix(text, "    ")
		switch {
		case found:
			list[len(list)-1].want = append(list[len(list)-1].want, entry)
		case text != "":
			list = append(list, row{line: text})
		}
	}
	return list
}

func (r row) text() string {
	return strings.NewReplacer("⏎", "\n", "⇥", "\t").Replace(r.line)
}

// TestLines is the table of testdata/lines.txt.
func TestLines(t *testing.T) {
	list := rows(t)
	if len(list) < wantLines {
		t.Errorf("%d lines, want %d at least", len(list), wantLines)
	}
	var b strings.Builder
	for _, r := range list {
		got := show(shell.Parse(r.text()))
		fmt.Fprintf(&b, "%s\n", r.line)
		for _, g := range got {
			fmt.Fprintf(&b, "    %s\n", g)
		}
		b.WriteString("\n")
		if *update {
			continue
		}
		t.Run(r.line, func(t *testing.T) {
			if !slices.Equal(got, r.want) {
				t.Errorf("got:\n    %s\nwant:\n    %s", strings.Join(got, "\n    "), strings.Join(r.want, "\n    "))
			}
		})
	}
	if *update {
		if err := os.WriteFile(table, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPushIsFound says of every line of the table with "git push" in it that
// the push is found, or that something was not understood.
func TestPushIsFound(t *testing.T) {
	harmless := map[string]bool{ // here it is text, or is not run
		"cat <<'EOF'⏎$(git push)⏎EOF": true, "cat <<\\EOF⏎`git push`⏎EOF": true,
		"git() { echo no; }; git push": true, "function git { :; }; git push": true,
		"git config --get alias.x '!git push'": true, `X="git push"; "$X"`: true,
	}
	for _, r := range rows(t) {
		if !strings.Contains(r.line, "git push") || harmless[r.line] {
			continue
		}
		s := shell.Parse(r.text())
		found := slices.ContainsFunc(s.Commands, func(c shell.Command) bool {
			return c.Name == "git" && len(c.Words) > 1 && c.Words[1] == shell.Word{Text: "push", Known: true}
		})
		if !found && len(s.Unknown) == 0 {
			t.Errorf("no push in %q", r.line)
		}
	}
}

func TestExported(t *testing.T) {
	s := shell.Parse("export A=1; B=2; C=3 x; D=$E env F=4 y")
	var got []string
	for _, c := range s.Commands {
		for _, w := range c.Env {
			got = append(got, c.Name+" "+showWord(w))
		}
	}
	want := []string{"x A=1", "x C=3", "y A=1", "y ?D=", "y F=4"}
	if got = slices.DeleteFunc(got, func(g string) bool { return strings.HasPrefix(g, "export") }); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoose(t *testing.T) {
	s := shell.Parse(`a "$x" $x b $x`)
	if got, want := s.Commands[0].Loose, []int{2, 4}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// deep is one line nested in itself.
func deep(open, middle, end string, times int) string {
	return strings.Repeat(open, times) + middle + strings.Repeat(end, times)
}

func numbered(format string, times int) string {
	var b strings.Builder
	for i := range times {
		fmt.Fprintf(&b, strings.ReplaceAll(format, "#", "%[1]d"), i)
	}
	return b.String()
}

// TestHostile are lines that would take for ever, or all memory, or the stack.
// Each has to end, and to say that it was not understood.
func TestHostile(t *testing.T) {
	const mega = 1 << 20
	tests := map[string]string{
		"too long":               strings.Repeat("a", mega+1),
		"open subshells":         strings.Repeat("(", mega),
		"open substitutions":     strings.Repeat("$(", mega/2),
		"open quotes":            strings.Repeat(`"$(`, mega/3),
		"open expansions":        strings.Repeat("${a:-", mega/5),
		"open backquotes":        strings.Repeat("`", mega) + "x",
		"open arithmetic":        "echo $((" + strings.Repeat("(", mega-16),
		"signs":                  "echo $((" + strings.Repeat("-", mega-16) + "1))",
		"open tests":             strings.Repeat("[[ ( ", mega/5),
		"not not":                "[[ " + strings.Repeat("! ", mega/2-16) + "x ]]",
		"open ifs":               strings.Repeat("if x; then ", mega/11),
		"open braces":            "a " + strings.Repeat("{a,", mega/3-8),
		"functions of functions": strings.Repeat("f() ", mega/4),
		"deep subshells":         deep("(", "a", ")", 10_000),
		"deep defaults":          "x=; a " + deep("${x:-", "a", "}", 120),
		"deep loops":             deep("while a; do ", "a", "; done", 30),
		"loops in loops":         deep("for i in 1 2 3 4 5 6 7 8; do ", "a $i", "; done", 15),
		"calls that double":      doubling(300),
		"words that double":      "x=aaaaaaaa;" + strings.Repeat("x=$x$x;", 100),
		"arguments that double":  "set -- ''; " + strings.Repeat(`set -- "$@" "$@"; `, 100),
		"arrays that double":     "a=('');" + strings.Repeat(`a+=("${a[@]}");`, 100),
		"braces that double":     "a " + strings.Repeat("{a,b}", 100),
		"braces in braces":       "a " + deep("{a,", "b", "}", 99),
		"a long sum":             "echo $((1" + strings.Repeat("+1", mega/2-16) + "))",
		"a long list":            "a" + strings.Repeat(" && a", mega/5-16),
		"a long pipeline":        "a" + strings.Repeat(" | a", mega/4-16),
		"a long test":            "[[ a" + strings.Repeat(" && a", mega/5-16) + " ]]",
		"many words":             strings.Repeat("b ", mega/2),
		"many loose words":       strings.Repeat("$a ", mega/3),
		"many wrappers":          strings.Repeat("sudo ", mega/5),
		"many forgotten names":   numbered("v#=a; ", 20_000) + strings.Repeat(`eval "$x"; `, 5000),
		"many doubts":            "a" + numbered(" || v#=1", 50_000),
		"many shells":            numbered("export v#=a; ", 5000) + strings.Repeat("sh -c a;", 50_000),
		"many commands":          numbered("c#;", 20_000),
		"many prompts":           strings.Repeat("PS4='$(PS4=';", mega/13),
		"an alias of itself":     "alias a='b a' b='a b'\na b" + strings.Repeat("\na b", 50_000),
		"many here-documents":    strings.Repeat("a <<x\nb\nx\n", mega/11),
		"many brackets":          strings.Repeat("[", mega/2) + " $x\n$x",
		"NUL":                    strings.Repeat("\x00", mega),
	}
	for name, line := range tests {
		t.Run(name, func(t *testing.T) {
			s := shell.Parse(line)
			if len(s.Unknown) == 0 {
				t.Error("understood")
			}
			if err := bounded(s); err != nil {
				t.Error(err)
			}
		})
	}
}

// doubling are functions each of which calls the next twice.
func doubling(times int) string {
	var b strings.Builder
	for i := range times {
		fmt.Fprintf(&b, "g%d() { g%d; g%d; }; ", i, i+1, i+1)
	}
	return b.String() + "g0"
}

// bounded says what is wrong with a script of any line whatever.
func bounded(s shell.Script) error {
	total := 0
	for _, c := range s.Commands {
		for _, w := range slices.Concat(c.Words, c.Writes, c.Reads) {
			total += len(w.Text)
		}
		switch {
		case c.Name != "" && (len(c.Words) == 0 || !c.Words[0].Known):
			return fmt.Errorf("a name, %q, of a program that is not known", c.Name)
		case len(c.Words) > 0 && !c.Words[0].Known && len(s.Unknown) == 0:
			return errors.New("a program that is not known, and everything understood")
		case len(c.Via) > 64:
			return fmt.Errorf("%d ways in", len(c.Via))
		}
	}
	if len(s.Commands) > 10_000 || total > 16<<20 || len(s.Unknown) > 100 {
		return fmt.Errorf("%d commands with %d bytes, %d reasons", len(s.Commands), total, len(s.Unknown))
	}
	return nil
}
