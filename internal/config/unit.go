package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

var sizePattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9][0-9_]*(?:\.[0-9]+)?)\s*(?i:([kmgt]?)(i?b)?)$`)
})

// ParseSize reads a number of bytes: "512MB", "2G", "1.5 GiB", "1048576". Every
// unit is a power of 1024, as for the memory of containers and services. Zero
// is refused: it could mean nothing or everything.
func ParseSize(s string) (int64, error) {
	m := sizePattern().FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, fmt.Errorf("size %q: wants a number and a unit such as \"512MB\" or \"2GB\"", s)
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(m[1], "_", ""), 64)
	if err != nil {
		return 0, fmt.Errorf("size %q: %w", s, err)
	}
	n *= math.Pow(1024, float64(strings.Index("kmgt", strings.ToLower(m[2]))+1)*float64(min(len(m[2]), 1)))
	switch {
	case n < 1:
		return 0, fmt.Errorf("size %q: wants at least one byte", s)
	case n >= math.MaxInt64:
		return 0, fmt.Errorf("size %q: is too large", s)
	}
	return int64(n), nil
}

// FormatSize writes a number of bytes as ParseSize reads it, rounded.
func FormatSize(n int64) string {
	units := []string{"B", "KB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0") + units[i]
}

var dayPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)d(.*)$`) })

// ParseDuration reads a time span: "90s", "1h30m", "2d", "1d12h". It must be
// above zero.
func ParseDuration(s string) (time.Duration, error) {
	rest, days := strings.TrimSpace(s), 0.0
	if m := dayPattern().FindStringSubmatch(rest); m != nil {
		var err error
		if days, err = strconv.ParseFloat(m[1], 64); err != nil {
			return 0, fmt.Errorf("duration %q: %w", s, err)
		}
		rest = m[2]
	}
	d := time.Duration(0)
	if rest != "" || days == 0 {
		var err error
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, fmt.Errorf("duration %q: wants a number and a unit such as \"90s\", \"2h\" or \"1d\"", s)
		}
	}
	total := days*24*float64(time.Hour) + float64(d)
	if d < 0 || total <= 0 || total >= math.MaxInt64 {
		return 0, fmt.Errorf("duration %q: wants more than zero and less than 292 years", s)
	}
	return time.Duration(total), nil
}
