package patch

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// File is what is changed in one file.
type File struct {
	Path       string `json:"path"`
	From       string `json:"from,omitempty"` // the old path of a rename or copy
	Status     string `json:"status"`         // A, M, D, R, C or T, as in git
	OldMode    string `json:"old_mode,omitempty"`
	NewMode    string `json:"new_mode,omitempty"`
	Flag       string `json:"flag,omitempty"` // why a person should look at it first
	Binary     bool   `json:"binary,omitempty"`
	Insertions int    `json:"insertions"`
	Deletions  int    `json:"deletions"`
	Hunks      []Hunk `json:"hunks"`
	// Key is the caller's own, to tell this change from another of the file.
	Key string `json:"-"`
}

// Hunk is a piece of a file. Its lines are numbered from Old and New.
type Hunk struct {
	Old   int    `json:"old"`
	New   int    `json:"new"`
	Title string `json:"title,omitempty"` // the function it is in, as git guesses
	Lines []Line `json:"lines"`
}

// Line is one line of a hunk: Kind is " ", "-" or "+".
type Line struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
	// NoEnd is set when the file ends here without a line break.
	NoEnd bool `json:"no_end,omitempty"`
}

// Parse reads a patch of git into files, which are given in its order with all
// but hunks and counts. A change of type is two patches of one file.
func Parse(text []byte, files []File) ([]File, error) {
	p := &parser{lines: strings.SplitAfter(string(text), "\n")}
	out := make([]File, 0, len(files))
	for _, f := range files {
		f.Hunks = []Hunk{}
		sections := 1
		if f.Status == "T" {
			sections = 2
		}
		for range sections {
			if err := p.section(&f); err != nil {
				return nil, fmt.Errorf("patch of %q: %w", f.Path, err)
			}
		}
		out = append(out, f)
	}
	if line, more := p.peek(); more {
		return nil, fmt.Errorf("patch goes on with %q", line)
	}
	return out, nil
}

type parser struct {
	lines []string
	at    int
}

// peek is the next line, if there is one.
func (p *parser) peek() (string, bool) {
	if p.at >= len(p.lines) || p.lines[p.at] == "" {
		return "", false
	}
	return p.lines[p.at], true
}

// section reads from "diff --git" to the next one.
func (p *parser) section(f *File) error {
	line, ok := p.peek()
	if !ok || !strings.HasPrefix(line, "diff --git ") {
		return fmt.Errorf("%q is no beginning", line)
	}
	for p.at++; ; {
		line, ok := p.peek()
		switch {
		case !ok, strings.HasPrefix(line, "diff --git "):
			return nil
		case strings.HasPrefix(line, "@@ "):
			if err := p.hunk(f); err != nil {
				return err
			}
		case strings.HasPrefix(line, "Binary files "):
			f.Binary = true
			p.at++
		default: // modes, names and ids, which are known
			p.at++
		}
	}
}

// hunk reads "@@ -old,count +new,count @@ title" and as many lines.
func (p *parser) hunk(f *File) error {
	head := strings.TrimSuffix(p.lines[p.at], "\n")
	p.at++
	fields := strings.SplitN(head, " ", 5)
	if len(fields) < 4 || fields[0] != "@@" || fields[3] != "@@" {
		return fmt.Errorf("hunk %q is not understood", head)
	}
	h := Hunk{Lines: []Line{}}
	if len(fields) == 5 {
		h.Title = fields[4]
	}
	var before, after int
	var err error
	if h.Old, before, err = span(fields[1], "-"); err != nil {
		return err
	}
	if h.New, after, err = span(fields[2], "+"); err != nil {
		return err
	}
	for before > 0 || after > 0 {
		line, ok := p.peek()
		if !ok {
			return errors.New("it ends within a hunk")
		}
		p.at++
		kind := line[:1]
		switch kind {
		case " ":
			before, after = before-1, after-1
		case "-":
			before--
			f.Deletions++
		case "+":
			after--
			f.Insertions++
		default:
			return fmt.Errorf("line %q is not understood", line)
		}
		h.Lines = append(h.Lines, Line{Kind: kind, Text: strings.TrimSuffix(line[1:], "\n"), NoEnd: p.noEnd()})
	}
	if before < 0 || after < 0 {
		return fmt.Errorf("hunk %q has more lines than it says", head)
	}
	f.Hunks = append(f.Hunks, h)
	return nil
}

// noEnd takes the note that the line before has no line break.
func (p *parser) noEnd() bool {
	if line, ok := p.peek(); ok && strings.HasPrefix(line, `\ `) {
		p.at++
		return true
	}
	return false
}

// span reads "-start,count" or "-start", which is one line.
func span(s, sign string) (start, count int, err error) {
	rest, ok := strings.CutPrefix(s, sign)
	a, b, found := strings.Cut(rest, ",")
	if !found {
		b = "1"
	}
	start, errStart := strconv.Atoi(a)
	count, errCount := strconv.Atoi(b)
	if !ok || errStart != nil || errCount != nil || start < 0 || count < 0 {
		return 0, 0, fmt.Errorf("range %q is not understood", s)
	}
	return start, count, nil
}
