package main

import (
	"testing"
	"time"
)

func TestGreet(t *testing.T) {
	at := func(hour int) time.Time {
		return time.Date(2025, time.March, 14, hour, 15, 0, 0, time.UTC)
	}
	tests := []struct {
		name string
		hour int
		want string
	}{
		{"Ada", 9, "Good morning, Ada!"},
		{"Grace Hopper", 13, "Good afternoon, Grace Hopper!"},
		{"  Alan  ", 20, "Good evening, Alan!"},
		{"", 3, "Still up, world!"},
	}
	for _, tt := range tests {
		if got := greet(tt.name, at(tt.hour)); got != tt.want {
			t.Errorf("greet(%q) at %d o'clock = %q, want %q", tt.name, tt.hour, got, tt.want)
		}
	}
}
