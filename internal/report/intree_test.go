package report

import "testing"

func TestInTree(t *testing.T) {
	const mark = "/worktrees/docs/"
	for _, tt := range []struct{ name, text, want string }{
		{"a path", "/home/ada/worktrees/docs/main.go", "main.go"},
		{"in a sentence", "wrote /a/worktrees/docs/x/y.go (ok) and /a/worktrees/docs/z", "wrote x/y.go (ok) and z"},
		{"quoted", `cat "/a b/worktrees/docs/x"`, `cat "/a b/worktrees/docs/x"`},
		{"not absolute", "see a/worktrees/docs/x", "see a/worktrees/docs/x"},
		{"another agent's", "/a/worktrees/other/x", "/a/worktrees/other/x"},
		{"at the root", "/worktrees/docs/x", "/worktrees/docs/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := inTree(tt.text, mark); got != tt.want {
				t.Errorf("inTree(%q) = %q, want %q", tt.text, got, tt.want)
			}
		})
	}
	if got := treeMark("fix-login-1a2b3c4d"); got != "/worktrees/fix-login/" {
		t.Errorf("treeMark = %q", got)
	}
}
