package service

import (
	"testing"

	"agentprocess/internal/policy"
)

func TestSpends(t *testing.T) {
	rules, err := policy.ParseRules("list", "a.example max-requests=2\nb.example max-up=1KB\nc.example")
	if err != nil {
		t.Fatal(err)
	}
	known, err := parseRecorded(recorded(policy.WithLayer(policy.LayerRun, rules)))
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := rules[0].Cite(), rules[1].Cite(), rules[2].Cite()
	for name, tt := range map[string]struct {
		used map[string]policy.Budget
		cut  map[string]bool
		want [3]bool
	}{
		"nothing":          {},
		"some":             {used: map[string]policy.Budget{a: {Requests: 1}, b: {Requests: 9, Up: 999}, c: {Requests: 99}}},
		"all requests":     {used: map[string]policy.Budget{a: {Requests: 2}}, want: [3]bool{true}},
		"all bytes":        {used: map[string]policy.Budget{b: {Up: 1024}}, want: [3]bool{1: true}},
		"cut":              {cut: map[string]bool{b: true}, want: [3]bool{1: true}},
		"another's place":  {used: map[string]policy.Budget{"a.example max-requests=2 (elsewhere)": {Requests: 2}}},
		"another's budget": {used: map[string]policy.Budget{"a.example max-requests=3 (list)": {Requests: 2}}},
	} {
		for i, r := range known {
			if got := spends(r, tt.used, tt.cut); got != tt.want[i] {
				t.Errorf("%s: %s is spent: %t", name, r.Cite(), got)
			}
		}
	}
}
