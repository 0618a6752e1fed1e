package report

import (
	"fmt"
	"strings"
	"time"

	"agentprocess/internal/sandbox"
)

// duration writes a time span for people; nothing for none.
func duration(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Millisecond:
		return "<1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// age writes how long ago something was.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(int(d.Seconds()), 0))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// count writes a large number shortly: 999, 12.3k, 4.5M.
func count(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprint(n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1fk", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1fM", float64(n)/1e6)
}

// size writes a number of bytes.
func size(n int64) string {
	units := []string{"B", "KB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[i]
}

// usd writes money, with more digits when it is little.
func usd(amount float64) string {
	switch {
	case amount == 0:
		return "$0"
	case amount < 0.01:
		return fmt.Sprintf("$%.4f", amount)
	}
	return fmt.Sprintf("$%.2f", amount)
}

func tokens(c sandbox.Cost) string {
	return count(c.InputTokens) + " in, " + count(c.OutputTokens) + " out"
}

func costText(c sandbox.Cost) string {
	if c == (sandbox.Cost{}) {
		return ""
	}
	parts := []string{tokens(c)}
	if c.Turns > 0 {
		parts = append(parts, plural(c.Turns, "turn"))
	}
	return strings.Join(append(parts, usd(c.USD)), " · ")
}

// stat writes what a branch changes.
func stat(s sandbox.DiffStat) string {
	return fmt.Sprintf("%s · +%d −%d", plural(s.Files, "file"), s.Insertions, s.Deletions)
}

func statWithCommits(s sandbox.DiffStat) string {
	if s.Commits == 0 {
		return "none"
	}
	return plural(s.Commits, "commit") + " · " + stat(s)
}

// short abbreviates a commit id as much as is safe in a large repository.
func short(id string) string {
	if len(id) < 12 || strings.Trim(id, "0123456789abcdef") != "" {
		return "(no commit id)"
	}
	return id[:12]
}

// Age is how long something has been there, in a word.
func Age(d time.Duration) string { return age(d) }

// Bytes is a size in a word.
func Bytes(n int64) string { return size(n) }
