package service

import (
	"reflect"
	"strings"
	"testing"

	"agentprocess/internal/config"
	"agentprocess/internal/sandbox"
)

func TestUpstreamComesFromThePerson(t *testing.T) {
	const asked = "ada:hunter2secret@"
	tests := []struct {
		name   string
		env    []string
		config config.Config
		want   []string
		code   sandbox.Code
	}{
		{name: "nothing"},
		{name: "empty", env: []string{"HTTPS_PROXY=", "https_proxy="}},
		{name: "environment", env: []string{"HTTPS_PROXY=http://" + asked + "proxy.corp:3128"}, want: []string{"http://proxy.corp:3128"}},
		{name: "small letters first", env: []string{"HTTPS_PROXY=http://a.corp", "https_proxy=https://b.corp"}, want: []string{"https://b.corp:443"}},
		{name: "all", env: []string{"ALL_PROXY=socks5h://" + asked + "socks.corp"}, want: []string{"socks5://socks.corp:1080"}},
		{name: "both", env: []string{"HTTP_PROXY=web.corp:8080", "all_proxy=socks5://socks.corp"}, want: []string{"http://web.corp:8080", "socks5://socks.corp:1080"}},
		{name: "configuration", env: []string{"HTTPS_PROXY=http://a.corp"}, config: config.Config{Proxy: "c.corp:1"}, want: []string{"http://c.corp:1"}},
		{name: "configuration says none", env: []string{"HTTPS_PROXY=http://a.corp"}, config: config.Config{Proxy: "none"}},
		{name: "no URL", env: []string{"HTTPS_PROXY=http://" + asked + "%zz"}, code: sandbox.CodeUsage},
		{name: "another scheme", env: []string{"HTTPS_PROXY=ftp://" + asked + "proxy.corp"}, code: sandbox.CodeUsage},
		{name: "a path", env: []string{"HTTPS_PROXY=http://" + asked + "proxy.corp/proxy.pac"}, code: sandbox.CodeUsage},
		{name: "no port", env: []string{"HTTPS_PROXY=http://" + asked + "proxy.corp:0"}, code: sandbox.CodeUsage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &checked{}
			err := New(Deps{Environ: tt.env, Config: tt.config}).leaveBy(c)
			if got := c.upstream.Names(); !reflect.DeepEqual(got, tt.want) || sandbox.ErrorCode(err) != tt.code {
				t.Errorf("leaveBy = %q, %v, want %q, code %v", got, err, tt.want, tt.code)
			}
			said := strings.Join(c.notices, " ")
			if err != nil {
				said += err.Error()
			}
			if strings.Contains(said, "hunter2secret") || strings.Contains(said, "ada") {
				t.Errorf("the credential is said: %q", said)
			}
			if len(tt.want) > 0 && len(c.notices) != 1 {
				t.Errorf("%d notices, want one", len(c.notices))
			}
		})
	}
}

// The attack is a person's slip: the proxy's variable, password and all, put
// inside.
func TestProxyPasswordStaysOutside(t *testing.T) {
	const url = "http://ada:hunter2%73ecret@proxy.corp:3128" // "hunter2secret"
	c := &checked{env: []string{"CI=1", "MY_PROXY=" + url}}
	if err := New(Deps{Environ: []string{"HTTPS_PROXY=" + url}}).leaveBy(c); err != nil {
		t.Fatal(err)
	}
	err := c.refuseRevealed()
	if sandbox.ErrorCode(err) != sandbox.CodeUsage || strings.Contains(err.Error(), "hunter2secret") {
		t.Errorf("refuseRevealed = %v, want it refused without the password", err)
	}
	c.env[1] = "PASSWORD=hunter2secret"
	if err := c.refuseRevealed(); sandbox.ErrorCode(err) != sandbox.CodeUsage {
		t.Errorf("refuseRevealed of the password alone = %v, want it refused", err)
	}
	c.env = c.env[:1]
	if err := c.refuseRevealed(); err != nil {
		t.Errorf("refuseRevealed = %v, want nil", err)
	}
}
