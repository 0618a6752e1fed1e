package native

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"agentprocess/internal/sandbox"
)

// The range of ids from which root takes the agent's own.
const (
	firstID = 62_000_000
	idCount = 1000
)

// DefaultIdentity says who agents are when nobody says otherwise: an ordinary
// user's agents are that user; root's are the user who called sudo, or else a
// dedicated id that exists for nobody.
func DefaultIdentity() (sandbox.Identity, error) {
	if uid := os.Geteuid(); uid != 0 {
		return named(uid, os.Getegid()), nil
	}
	uid, uerr := strconv.Atoi(os.Getenv("SUDO_UID"))
	gid, gerr := strconv.Atoi(os.Getenv("SUDO_GID"))
	if uerr == nil && gerr == nil && uid > 0 && gid > 0 {
		if _, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			return named(uid, gid), nil
		}
	}
	return dedicatedIdentity("/etc/subuid", "/etc/subgid")
}

func named(uid, gid int) sandbox.Identity {
	id := sandbox.Identity{UID: uid, GID: gid, Name: "agent"}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil && u.Username != "" {
		id.Name = u.Username
	}
	return id
}

// dedicatedIdentity takes the first id of the range that is no user's, no
// group's and in nobody's subordinate ranges.
func dedicatedIdentity(subordinate ...string) (sandbox.Identity, error) {
	for id := firstID; id < firstID+idCount; id++ {
		_, uerr := user.LookupId(strconv.Itoa(id))
		_, gerr := user.LookupGroupId(strconv.Itoa(id))
		if uerr == nil || gerr == nil {
			continue
		}
		taken := false
		for _, name := range subordinate {
			in, err := inRanges(name, id)
			if err != nil {
				return sandbox.Identity{}, err
			}
			taken = taken || in
		}
		if !taken {
			return sandbox.Identity{UID: id, GID: id, Name: "agent"}, nil
		}
	}
	return sandbox.Identity{}, sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("every id from %d to %d is in use", firstID, firstID+idCount-1),
		"run as an ordinary user, or through sudo")
}

// inRanges reports whether a file of subordinate ids (name:first:count)
// covers id.
func inRanges(name string, id int) (bool, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		part := strings.Split(lines.Text(), ":")
		if len(part) != 3 {
			continue
		}
		first, ferr := strconv.Atoi(part[1])
		count, cerr := strconv.Atoi(part[2])
		if ferr == nil && cerr == nil && id >= first && id < first+count {
			return true, nil
		}
	}
	return false, lines.Err()
}

// checkIdentity refuses who an agent must not be.
func checkIdentity(id sandbox.Identity) error {
	switch euid := os.Geteuid(); {
	case id.UID <= 0 || id.GID <= 0:
		return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("identity %d:%d: an agent is never root", id.UID, id.GID),
			"leave the identity to the default")
	case euid != 0 && (id.UID != euid || id.GID != os.Getegid()):
		return sandbox.Fail(sandbox.CodeRuntime, fmt.Errorf("identity %d:%d: an ordinary user's agents run as that user, %d:%d", id.UID, id.GID, euid, os.Getegid()),
			"leave the identity to the default, or run as root")
	}
	return nil
}
