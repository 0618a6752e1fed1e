package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	name := strings.Join(os.Args[1:], " ")
	fmt.Println(greet(name, time.Now()))
}

func greet(name string, now time.Time) string {
	name = strings.TrimSpace(name)
	if name == "" {
		name = "world"
	}
	return fmt.Sprintf("%s, %s!", salutation(now.Hour()), name)
}

func salutation(hour int) string {
	switch {
	case hour < 5:
		return "Still up"
	case hour < 12:
		return "Good morning"
	case hour < 18:
		return "Good afternoon"
	default:
		return "Good evening"
	}
}
