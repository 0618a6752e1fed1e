package service

import (
	"os"
	"strings"
	"testing"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/secret"
)

func TestObtain(t *testing.T) {
	const token, key = "sk-ant-oat01-" + "made-up-for-this-test", "sk-ant-api03-" + "made-up-for-this-test"
	tests := []struct {
		name    string
		options AuthOptions
		in      string
		want    secret.Kind // empty is a refusal
	}{
		{"a token", AuthOptions{Token: true}, token + "\n", secret.KindOAuth},
		{"a key", AuthOptions{APIKey: true}, "  " + key, secret.KindAPIKey},
		{"a key as a token", AuthOptions{Token: true}, key, ""},
		{"a token as a key", AuthOptions{APIKey: true}, token, ""},
		{"nothing", AuthOptions{Token: true}, "", ""},
		{"two lines", AuthOptions{Token: true}, token + "\n" + token, ""},
		{"too much", AuthOptions{Token: true}, strings.Repeat("x", 1<<20), ""},
		{"a login without a terminal", AuthOptions{}, "", ""},
		{"a login when nobody may be asked", AuthOptions{NoInput: true, Terminal: func() (sandbox.TTY, func() error, error) {
			t.Error("the terminal was taken")
			return sandbox.TTY{}, nil, os.ErrClosed
		}}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.In = strings.NewReader(tt.in)
			cred, err := newService(t, &host{}).obtain(t.Context(), tt.options)
			if tt.want == "" {
				if sandbox.ErrorCode(err) != sandbox.CodeCredential || sandbox.ErrorHint(err) == "" {
					t.Errorf("obtain() = %v, %v, want a refusal with a hint", cred, err)
				}
				return
			}
			if err != nil || cred.Kind != tt.want || cred.Value.Reveal() != strings.TrimSpace(tt.in) {
				t.Errorf("obtain() = %v, %v, want a credential of kind %q", cred, err, tt.want)
			}
		})
	}
}

func TestRefuseDead(t *testing.T) {
	tests := []struct {
		state   secret.State
		refused bool
		notices int
	}{
		{secret.StateValid, false, 0},
		{secret.StateExpiring, false, 1},
		{secret.StateUnverified, false, 1},
		{secret.StateExpired, true, 0},
		{secret.StateMissing, true, 0},
	}
	for _, tt := range tests {
		t.Run(string(tt.state), func(t *testing.T) {
			c := &checked{}
			status := secret.Status{State: tt.state, Source: "test", Reason: "it says so"}
			err := refuseDead(status, c)
			if (err != nil) != tt.refused || len(c.notices) != tt.notices {
				t.Errorf("refuseDead(%q) = %v, notices %q", tt.state, err, c.notices)
			}
			if tt.refused == (AuthStatus{status}).Usable() {
				t.Errorf("Usable() = %t", !tt.refused)
			}
		})
	}
}

func TestAuthStatusWithoutACredential(t *testing.T) {
	status, err := newService(t, &host{}).AuthStatus(t.Context())
	if err != nil || status.State != secret.StateMissing || status.Usable() {
		t.Errorf("AuthStatus() = %+v, %v, want it missing", status, err)
	}
}
