package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"
)

// maxLinks is how many symbolic links one path may lead through, as many as the
// kernel follows.
const maxLinks = 40

// maxResolved bounds a real path: one of the longest, with a missing tail.
const maxResolved = 2 * maxPath

// checkPaths says whether paths may be asked about.
func checkPaths(paths []string) error {
	total := 0
	for _, p := range paths {
		if err := checkPath(p, maxPath); err != nil {
			return err
		}
		total += len(p)
	}
	if len(paths) == 0 || len(paths) > MaxPaths || total > maxPathBytes {
		return fmt.Errorf("a question about %d paths of %d bytes: at most %d of %d", len(paths), total, MaxPaths, maxPathBytes)
	}
	return nil
}

func checkPath(p string, limit int) error {
	switch {
	case p == "" || len(p) > limit:
		return fmt.Errorf("a path of %d bytes", len(p))
	case strings.Contains(p, "\x00") || !utf8.ValidString(p):
		return fmt.Errorf("path %q cannot be told", p)
	}
	return nil
}

// resolveAll is the client's answer about paths, the relative ones from dir.
func resolveAll(paths []string, dir string) reply {
	r := reply{Version: Version, Resolved: map[string]string{}}
	for _, p := range paths {
		at, err := realPath(p, dir)
		if err == nil {
			err = checkPath(at, maxResolved)
		}
		if err != nil {
			if r.Errors == nil {
				r.Errors = map[string]string{}
			}
			r.Errors[p] = err.Error()
			continue
		}
		r.Resolved[p] = at
	}
	return r
}

// realPath is where the kernel would get with p from here: links are followed
// before "..", and what does not exist stays below what does.
func realPath(p, dir string) (string, error) {
	if !path.IsAbs(p) {
		if !path.IsAbs(dir) {
			return "", fmt.Errorf("relative to an unknown directory %q", dir)
		}
		p = dir + "/" + p
	}
	rest, at, links := strings.Split(p, "/"), "/", 0
	missing := 0 // how many elements at the end of at do not exist
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch {
		case name == "" || name == ".":
			continue
		case name == "..":
			at = parentOf(at)
			// A ".." may lead back to what exists.
			missing = max(0, missing-1)
			continue
		case missing > 0:
			at += "/" + name
			missing++
			continue
		}
		next := strings.TrimSuffix(at, "/") + "/" + name
		target, err := os.Readlink(next)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			at, missing = next, 1
		case errors.Is(err, syscall.EINVAL): // no link
			at = next
		case err != nil:
			return "", cause(err)
		default:
			if links++; links > maxLinks {
				return "", syscall.ELOOP
			}
			if path.IsAbs(target) {
				at = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
		}
	}
	return at, nil
}

// parentOf is the directory of a clean absolute path.
func parentOf(p string) string {
	return p[:max(1, strings.LastIndexByte(p, '/'))]
}

// cause leaves out the path that a PathError repeats.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// decodeReply accepts an answer about exactly the paths that were asked about.
// The error joins those of single paths; the others are in the map.
func decodeReply(data []byte, asked []string) (map[string]string, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("parse reply: %w", err)
	}
	for key := range m {
		if key != "v" && key != "resolved" && key != "errors" {
			return nil, fmt.Errorf("%w: %q in a reply", errOddFrame, key)
		}
	}
	var r reply
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("parse reply: %w", err)
	}
	if r.Version != Version {
		return nil, fmt.Errorf("reply of version %d: want %d", r.Version, Version)
	}
	return r.about(asked)
}

func (r reply) about(asked []string) (map[string]string, error) {
	out := make(map[string]string, len(asked))
	var failed []error
	for _, p := range asked {
		at, ok := r.Resolved[p]
		why, wrong := r.Errors[p]
		switch {
		case ok == wrong:
			return nil, fmt.Errorf("%w: a reply that does not say where %q is", errOddFrame, p)
		case wrong:
			failed = append(failed, fmt.Errorf("resolve %q: %s", p, why[:min(len(why), maxField)]))
		case checkPath(at, maxResolved) != nil || !path.IsAbs(at) || filepath.Clean(at) != at:
			return nil, fmt.Errorf("%w: %q is said to be at %q", errOddFrame, p, at)
		default:
			out[p] = at
		}
	}
	if len(out)+len(failed) != len(r.Resolved)+len(r.Errors) {
		return nil, fmt.Errorf("%w: a reply about paths that nobody asked about", errOddFrame)
	}
	return out, errors.Join(failed...)
}
