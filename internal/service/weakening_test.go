package service

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentprocess/internal/proxy"
)

func TestWeakenings(t *testing.T) {
	tests := []struct {
		name string
		o    StartOptions
		want []string
	}{
		{"none", StartOptions{Keep: true}, nil},
		{"the demo's", StartOptions{Env: []string{"A=1"}, demo: true}, nil},
		{
			"all",
			StartOptions{
				Egress: Egress{Allow: []string{"a.example", "*.b.example:8443"}, Resolve: map[string]proxy.Target{
					"b.example": {Addr: netip.MustParseAddr("2001:db8::1"), Port: 8443}, "a.example": {Addr: netip.MustParseAddr("10.0.0.1")},
				}},
				Env: []string{"TOKEN=hunter2", "EDITOR"},
			},
			[]string{
				"--resolve: a.example is dialled at 10.0.0.1, private or not",
				"--resolve: b.example is dialled at [2001:db8::1]:8443, private or not",
				"--allow: a.example, *.b.example:8443 may be reached",
				"--env: TOKEN, EDITOR can be read inside",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.o.weakenings()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
