package e2e

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// untilTime bounds the wait for what a command prints.
const untilTime = time.Minute

// cmdUntil runs a command again and again, until what it prints matches: until
// PATTERN CMD ARGS...
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN CMD ARGS...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(untilTime)
	for {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); err == nil && pattern.MatchString(out) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			ts.Fatalf("%q never printed %q", args[1:], args[0])
		}
	}
}

// cmdGate lets the model's answers through that a gate holds: gate NAME.
func cmdGate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gate NAME")
	}
	apisOf(ts).api.Open(args[0])
}

// cmdTold checks how many of the model's turns were asked for with a text in
// the conversation: told COUNT TEXT.
func cmdTold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: told COUNT TEXT")
	}
	if got := told(ts, args[1]); args[0] != strconv.Itoa(got) {
		ts.Fatalf("the model was told %q in %d turns, want %s", args[1], got, args[0])
	}
}

// told counts the turns that were asked for with text in the conversation.
func told(ts *testscript.TestScript, text string) int {
	turns := map[int]bool{}
	for _, r := range apisOf(ts).api.Requests() {
		if r.Turn > 0 && strings.Contains(string(r.Body), text) {
			turns[r.Turn] = true
		}
	}
	return len(turns)
}

// cmdHeard checks that the model was told a text: heard TEXT.
func cmdHeard(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: heard TEXT")
	}
	if (told(ts, args[0]) > 0) == neg {
		ts.Fatalf("told the model %q: %t", args[0], neg)
	}
}
