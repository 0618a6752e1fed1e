package workspace

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// unpackLimit is how many objects are stored one by one; more stay a pack.
const unpackLimit = 100

// publish copies what want reaches, and have does not, from the quarantine into
// the user's repository: by a pack, of which git checks each object once more on
// its way in. Whatever have names must be there with all that it reaches, which
// is true of refs. The walk that makes the pack reads each tree between the two,
// and so what arrives is whole: links are not followed again, which would look
// up every file beside a changed one.
//
// Until a ref holds the objects, a pack is kept from a repack at the same time
// by the file keep, which is to be removed then; it is empty when there is none.
func (w *Workspace) publish(ctx context.Context, want, have []string) (keep string, err error) {
	if len(want) == 0 {
		return "", nil
	}
	r, out, err := os.Pipe()
	if err != nil {
		return "", err
	}
	c := w.quarantine("pack-objects", "--revs", "--thin", "--stdout", "--delta-base-offset", "-q")
	var revs strings.Builder
	for _, id := range want {
		revs.WriteString(id + "\n")
	}
	for _, id := range have {
		revs.WriteString("^" + id + "\n")
	}
	c.stdin, c.stdout = strings.NewReader(revs.String()), out
	packed := make(chan error, 1)
	go func() { packed <- errors.Join(w.repo.git.runInto(ctx, c), out.Close()) }()
	keep, err = w.repo.unpack(ctx, r)
	closed := r.Close() // ends a git that still writes
	if err := errors.Join(<-packed, err, closed); err != nil {
		return keep, fmt.Errorf("bring the agent's commits into %q: %w", w.repo.CommonDir, err)
	}
	return keep, nil
}

// unpack stores a pack in the user's repository, once its head has come.
func (r *Repository) unpack(ctx context.Context, pack *os.File) (keep string, err error) {
	count, err := packHeader(pack)
	if err != nil {
		return "", err
	}
	header := fmt.Sprintf("--pack_header=2,%d", count)
	if count < unpackLimit {
		c := r.common("unpack-objects", "-q", "--strict", header)
		c.stdin, c.stdout = pack, io.Discard
		return "", r.git.runInto(ctx, c)
	}
	c := r.common("index-pack", "--stdin", "--fix-thin", "--fsck-objects", "--keep=being imported by agent-process", header)
	c.stdin = pack
	line, err := r.git.line(ctx, c)
	if kept, id, _ := strings.Cut(line, "\t"); err == nil && kept == "keep" && isObjectID(id) {
		keep = filepath.Join(r.CommonDir, "objects", "pack", "pack-"+id+".keep")
	}
	return keep, err
}

// packHeader reads the first twelve bytes of a pack (gitformat-pack(5)): how
// many objects follow.
func packHeader(in io.Reader) (count uint32, err error) {
	var head [12]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, fmt.Errorf("read the head of a pack: %w", err)
	}
	if string(head[:8]) != "PACK\x00\x00\x00\x02" {
		return 0, fmt.Errorf("the head of a pack %q is not understood", head[:])
	}
	return binary.BigEndian.Uint32(head[8:]), nil
}
