package forge

import "testing"

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		remote string
		want   Place
	}{
		{"https://github.com/acme/project.git", Place{"github.com", "acme/project"}},
		{"https://ada:s3cret@GitHub.com/acme/project", Place{"github.com", "acme/project"}},
		{"git@github.com:acme/project.git", Place{"github.com", "acme/project"}},
		{"github.com:acme/project", Place{"github.com", "acme/project"}},
		{"ssh://git@gitlab.example.com:2222/group/sub/project.git/", Place{"gitlab.example.com", "group/sub/project"}},
		{"/srv/git/project.git", Place{}},
		{"../project.git", Place{}},
		{"file:///srv/git/project.git", Place{}},
		{"./odd:name", Place{}},
		{"-oProxyCommand=x:acme/project", Place{}},
		{"", Place{}},
	} {
		got, ok := Parse(tt.remote)
		if got != tt.want || ok != (tt.want != Place{}) {
			t.Errorf("Parse(%q) = %v, %v, want %v", tt.remote, got, ok, tt.want)
		}
	}
}

func TestCompare(t *testing.T) {
	for _, tt := range []struct {
		place Place
		want  string
	}{
		{Place{"github.com", "acme/project"}, "https://github.com/acme/project/compare/main...agent--docs?expand=1"},
		{Place{"gitlab.com", "g/s/p"}, "https://gitlab.com/g/s/p/-/merge_requests/new?merge_request%5Bsource_branch%5D=agent--docs&merge_request%5Btarget_branch%5D=main"},
		{Place{"bitbucket.org", "o/r"}, "https://bitbucket.org/o/r/pull-requests/new?dest=main&source=agent--docs"},
		{Place{"git.example.com", "o/r"}, ""},
	} {
		if got := tt.place.Compare("main", "agent--docs"); got != tt.want {
			t.Errorf("Compare at %v = %q, want %q", tt.place, got, tt.want)
		}
	}
}

func TestShownHasNoSecret(t *testing.T) {
	for in, want := range map[string]string{
		"https://ada:s3cret@github.com/a/b.git": "https://github.com/a/b.git",
		"https://s3cret@github.com/a/b.git":     "https://github.com/a/b.git",
		"ssh://git@github.com/a/b.git":          "ssh://git@github.com/a/b.git",
		"git@github.com:a/b.git":                "git@github.com:a/b.git",
		"/srv/git/b.git":                        "/srv/git/b.git",
	} {
		if got := Shown(in); got != want {
			t.Errorf("Shown(%q) = %q, want %q", in, got, want)
		}
	}
}
