package sandbox

import (
	"strings"
	"testing"
)

func TestValidateName(t *testing.T) {
	tests := []struct {
		name, says string // says nothing about a good name
	}{
		{"docs", ""},
		{"a", ""},
		{"9", ""},
		{"fix-login_2.0", ""},
		{"UPPER", ""},
		{"a--b", ""},
		{strings.Repeat("a", MaxNameLength), ""},
		{"", "empty"},
		{strings.Repeat("a", MaxNameLength+1), "65 bytes"},
		{"a b", `' ' at position 2`},
		{"a/b", `'/' at position 2`},
		{"../x", `'/'`},
		{"a..b", `".."`},
		{"..", `starts with '.'`},
		{".a", `starts with '.'`},
		{"-a", `starts with '-'`},
		{"a-", `ends with '-'`},
		{"a.", `ends with '.'`},
		{"a.lock", `".lock"`},
		{"a.LOCK", `".lock"`},
		{"né", `'é' at position 2`},
		{"a\nb", `'\n'`},
		{"a\x00b", `'\x00'`},
		{"a\xffb", "position 2"},
		{"a@{b", `'@'`},
		{"a~1", `'~'`},
		{"a*", `'*'`},
		{`a\b`, `'\\'`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := ValidateName(tt.name)
			if tt.says == "" {
				if err != nil {
					t.Errorf("ValidateName(%q) = %v", tt.name, err)
				}
				return
			}
			if ErrorCode(err) != CodeUsage || ErrorHint(err) == "" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("ValidateName(%q) = %v, want a usage error that says %s", tt.name, err, tt.says)
			}
		})
	}
}

// What is a good name can be part of a ref and of a path.
func FuzzValidateName(f *testing.F) {
	for _, seed := range []string{"docs", "a..b", ".git", "a.lock", "-x", "a/b", "né", "a\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if ValidateName(name) != nil {
			return
		}
		if len(name) == 0 || len(name) > MaxNameLength || strings.ContainsAny(name, "/\\:~^?*[@{ \t\n\x00") || strings.Contains(name, "..") ||
			strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.HasSuffix(name, ".") || strings.HasSuffix(name, ".lock") {
			t.Errorf("ValidateName(%q) has nothing against it", name)
		}
	})
}
