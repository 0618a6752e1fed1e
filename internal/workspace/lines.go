package workspace

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
)

// hunk is one change of lines: those of the base that it takes away, and the
// ones it puts there.
type hunk struct {
	at   int // how many lines of the base are before it
	gone int // lines of the base
	come int // lines instead of them
	text [sha256.Size]byte
}

func (h hunk) end() int { return h.at + h.gone }

// overlap is what two changes of one file come to.
type overlap int

const (
	linesApart overlap = iota
	linesClash
	linesUnclear // both may have come to the same text on different ways
)

// meet compares the changes that two sides make of one file as a three-way
// merge does (xdl_do_merge of git's xdiff/xmerge.c): changes that touch are a
// conflict unless they are the same. Hunks are in the order of the file.
func meet(ours, theirs []hunk) overlap {
	for len(ours) > 0 && len(theirs) > 0 {
		a, b := ours[0], theirs[0]
		switch {
		case a.end() < b.at:
			ours = ours[1:]
		case b.end() < a.at:
			theirs = theirs[1:]
		case a == b:
			ours, theirs = ours[1:], theirs[1:]
		case a.at == b.at && a.gone == b.gone:
			return linesClash
		case growth(ours, theirs) != growth(theirs, ours):
			return linesClash
		default:
			return linesUnclear
		}
	}
	return linesApart
}

// growth is by how many lines ours grows in the region where the first hunks of
// both touch.
func growth(ours, theirs []hunk) (lines int) {
	end := min(ours[0].at, theirs[0].at)
	for {
		switch {
		case len(ours) > 0 && ours[0].at <= end:
			lines += ours[0].come - ours[0].gone
			end, ours = max(end, ours[0].end()), ours[1:]
		case len(theirs) > 0 && theirs[0].at <= end:
			end, theirs = max(end, theirs[0].end()), theirs[1:]
		default:
			return lines
		}
	}
}

// blobPair are the two sides of a file that changed.
type blobPair struct{ from, to string }

// parseHunks reads `git diff-tree -p -U0 --full-index`, of any number of trees:
// the changes of lines by what a file was and became. What is no text is not
// there. Paths are not looked at.
func parseHunks(out []byte) (map[blobPair][]hunk, error) {
	files := map[blobPair][]hunk{}
	p := &patchReader{left: out}
	var pair blobPair
	for len(p.left) > 0 {
		line := p.line()
		switch {
		case bytes.HasPrefix(line, []byte("diff --git ")):
			pair = blobPair{}
		case bytes.HasPrefix(line, []byte("index ")):
			ids, _, _ := strings.Cut(string(line[len("index "):]), " ")
			from, to, ok := strings.Cut(ids, "..")
			if !ok || !isObjectID(from) || !isObjectID(to) {
				return nil, fmt.Errorf("line %q of a patch is not understood", line)
			}
			pair = blobPair{from, to}
			delete(files, pair) // two agents may have made the same change
		case bytes.HasPrefix(line, []byte("@@ ")):
			h, err := p.hunk(line)
			if err != nil || pair == (blobPair{}) {
				return nil, fmt.Errorf("hunk %q is not understood: %w", line, err)
			}
			files[pair] = append(files[pair], h)
		}
	}
	return files, nil
}

// patchReader takes a patch line by line.
type patchReader struct{ left []byte }

func (p *patchReader) line() []byte {
	line, rest, _ := bytes.Cut(p.left, []byte("\n"))
	p.left = rest
	return line
}

// hunk reads a hunk of which the first line was taken: "@@ -AT,GONE +AT,COME @@".
func (p *patchReader) hunk(first []byte) (h hunk, err error) {
	fields := strings.Fields(string(first))
	if len(fields) < 4 {
		return h, fmt.Errorf("%d words", len(fields))
	}
	if h.at, h.gone, err = hunkRange(fields[1], "-"); err != nil {
		return h, err
	}
	if _, h.come, err = hunkRange(fields[2], "+"); err != nil {
		return h, err
	}
	if h.gone > 0 {
		h.at-- // the first line, counted from 1; without lines it is the one before
	}
	sum := sha256.New()
	for range h.gone {
		if err := p.skip('-'); err != nil {
			return h, err
		}
	}
	p.noNewline()
	for range h.come {
		line := p.line()
		if len(line) == 0 || line[0] != '+' {
			return h, fmt.Errorf("line %q in the place of a new one", line)
		}
		sum.Write(line)
		sum.Write([]byte("\n"))
	}
	if p.noNewline() {
		sum.Write([]byte("\\"))
	}
	sum.Sum(h.text[:0])
	return h, nil
}

// skip takes a line that begins with mark.
func (p *patchReader) skip(mark byte) error {
	if line := p.line(); len(line) == 0 || line[0] != mark {
		return fmt.Errorf("line %q in the place of an old one", line)
	}
	return nil
}

// noNewline takes the remark that the last line has no end, if it is next.
func (p *patchReader) noNewline() bool {
	if !bytes.HasPrefix(p.left, []byte("\\ ")) {
		return false
	}
	p.line()
	return true
}

// hunkRange reads "-12,3", where one line is meant without a count.
func hunkRange(s, sign string) (at, count int, err error) {
	s, ok := strings.CutPrefix(s, sign)
	if !ok {
		return 0, 0, fmt.Errorf("%q does not begin with %q", s, sign)
	}
	first, number, counted := strings.Cut(s, ",")
	if at, err = strconv.Atoi(first); err != nil {
		return 0, 0, err
	}
	count = 1
	if counted {
		count, err = strconv.Atoi(number)
	}
	if err == nil && (at < 0 || count < 0 || at == 0 && count > 0) {
		err = fmt.Errorf("range %q", s)
	}
	return at, count, err
}
