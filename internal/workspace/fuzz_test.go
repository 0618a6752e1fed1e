package workspace

import (
	"bytes"
	"strings"
	"testing"
)

const (
	idA = "1111111111111111111111111111111111111111"
	idB = "2222222222222222222222222222222222222222"
)

func FuzzParseDiff(f *testing.F) {
	f.Add([]byte(":100644 100755 " + idA + " " + idB + " M\x00a b\x001\t2\ta b\x00"))
	f.Add([]byte(":100644 100644 " + idA + " " + idB + " R100\x00old\x00new\x000\t0\t\x00old\x00new\x00"))
	f.Add([]byte(idA + "\x00:000000 100644 " + idA + " " + idB + " A\x00" + idB + "\x00" + idB + "\x00"))
	f.Add([]byte(idA + " " + idB + "\n" + idB + " " + idA + "\n-\t-\tbinary\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		entries, err := parseDiff(in)
		if err != nil {
			return
		}
		for _, e := range entries {
			if s := e.stat(); s.Files < 0 || s.Insertions < 0 && len(in) < 1000 {
				t.Errorf("stat %+v", s)
			}
			for _, c := range e.changes {
				if c.path == "" || !isObjectID(c.oldID) || !isObjectID(c.newID) || !bytes.Contains(in, []byte(c.path)) {
					t.Errorf("change %+v", c)
				}
			}
			for _, f := range flags(e.changes) {
				if f.Reason == "" {
					t.Errorf("flag %+v", f)
				}
			}
		}
	})
}

func FuzzParseAgentRefs(f *testing.F) {
	f.Add([]byte("refs/heads/agent--x\x00" + idA + "\x00" + idB + "\x001700000000\x00a subject\nrefs/agents/x/base\x00" + idA + "\x00" + idB + "\x001\x00\n"))
	f.Add([]byte("refs/heads/agent--x\x00" + idA + "\x00\x00\x00\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		refs, err := parseAgentRefs(in)
		if err != nil {
			return
		}
		list := newAgentList(refs)
		if len(list.agents) != len(list.pairs) || len(list.agents) > len(refs) {
			t.Errorf("%d refs, %d agents, %d pairs", len(refs), len(list.agents), len(list.pairs))
		}
		for i, a := range list.agents {
			if strings.ContainsAny(a.Name, "/\n") || (a.Base == "") != (list.pairs[i] == "") {
				t.Errorf("agent %+v, pair %q", a, list.pairs[i])
			}
		}
	})
}

func FuzzParseRefs(f *testing.F) {
	f.Add([]byte(idA + " refs/heads/main\n" + idB + " refs/incoming/heads/a b\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		refs, err := parseRefs(in)
		if err != nil {
			return
		}
		for ref, id := range refs {
			if !strings.HasPrefix(ref, "refs/") || strings.Contains(ref, "\n") || !isObjectID(id) {
				t.Errorf("ref %q is %q", ref, id)
			}
		}
	})
}

func FuzzRewriteCommit(f *testing.F) {
	f.Add([]byte("tree " + idA + "\nparent " + idA + "\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\ngpgsig -----BEGIN\n x\n -----END\nencoding latin1\n\nmessage\n\nparent x\n"))
	f.Add([]byte("tree " + idA + "\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := rewriteCommit(in, idB, []string{idA, idB})
		if err != nil {
			return
		}
		again, err := rewriteCommit(out, idB, []string{idA, idB})
		if err != nil || !bytes.Equal(out, again) {
			t.Errorf("%q became %q, and then %q, %v", in, out, again, err)
		}
		if !bytes.HasPrefix(out, []byte("tree "+idB+"\nparent "+idA+"\nparent "+idB+"\n")) {
			t.Errorf("%q became %q", in, out)
		}
		if _, message, found := bytes.Cut(in, []byte("\n\n")); found && !bytes.HasSuffix(out, append([]byte("\n\n"), message...)) {
			t.Errorf("the message of %q changed: %q", in, out)
		}
	})
}

func FuzzParseSettings(f *testing.F) {
	f.Add([]byte("local\x00filter.a.b.clean\nx\x00global\x00user.name\nA\nB\x00local\x00core.bare\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := parseSettings(in)
		for _, name := range s.filters() {
			if name == "" || !bytes.Contains(in, []byte(name)) {
				t.Errorf("filter %q", name)
			}
		}
		for _, e := range s {
			if s.value(e.key) == "" && e.value != "" && !bytes.Contains(in, []byte(e.key+"\n\x00")) && !strings.HasSuffix(string(in), e.key+"\n") {
				t.Errorf("%q is lost", e.key)
			}
		}
	})
}

func FuzzParseAlternates(f *testing.F) {
	f.Add("/a b/objects")
	f.Add("\"quoted\"\n#")
	f.Add("../x\\")
	f.Fuzz(func(t *testing.T, path string) {
		if path == "" || strings.ContainsAny(path, "\x00\r") {
			return
		}
		got := parseAlternates([]byte(strings.Join(quoteAlternates([]string{path, "/other"}), "\n")))
		if len(got) != 2 || got[0] != path || got[1] != "/other" {
			t.Errorf("%q became %q", path, got)
		}
	})
}

func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(idA + " blob 3\nabc\n"))
	f.Add([]byte("HEAD:x missing\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		data, kind, err := parseBatch(in)
		if err == nil && kind != "missing" && !bytes.Contains(in, data) {
			t.Errorf("%q gave %q", in, data)
		}
	})
}

func FuzzParseRest(f *testing.F) {
	f.Add([]byte("M  a\x00 M b\x00?? c\x00"))
	f.Add([]byte("include\x003\x00*.x\x00a.x\x00"))
	f.Add([]byte("commit " + idA + "\n" + idA + "\x00" + idB + "\x001\x00subject\n"))
	f.Add([]byte(idA + " " + idB + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if d := parseStatus(in); d.Staged < 0 {
			t.Errorf("%+v", d)
		}
		if d := parseDecided(in); len(d) > len(in) {
			t.Errorf("%v", d)
		}
		if b, err := parseBase(in); err == nil && !isObjectID(b.Tree) {
			t.Errorf("%+v", b)
		}
		if list, err := parseCommits(in); err == nil {
			for _, c := range list {
				if !isObjectID(c.id) {
					t.Errorf("%+v", c)
				}
			}
		}
	})
}

func FuzzParseTypedRefs(f *testing.F) {
	f.Add([]byte("commit " + idA + " refs/incoming/heads/agent--x\ntag " + idB + " refs/incoming/heads/y\n"))
	f.Add([]byte("commit " + idA + "\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		refs, kinds, err := parseTypedRefs(in)
		if err != nil {
			return
		}
		for ref, id := range refs {
			if _, known := kinds[id]; !known || !bytes.Contains(in, []byte(ref)) {
				t.Errorf("%q: %s of %q", in, id, ref)
			}
		}
	})
}

// What git prints of an object holds the object.
func FuzzReadBatch(f *testing.F) {
	f.Add([]byte(idA + " blob 3\nabc\n" + idB + " missing\n"))
	f.Add([]byte(idA + " blob 0\n\n" + idB + " blob 2\n\n\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 1<<12 || bytes.Contains(in, []byte("00000")) { // a size that costs memory alone
			return
		}
		_ = readBatch(bytes.NewReader(in), func(id string, data []byte) { // what is wrong with it is not at issue
			if !isObjectID(id) || !bytes.Contains(in, data) {
				t.Errorf("%q gave %s %q", in, id, data)
			}
		})
	})
}

func FuzzParseCheckpoints(f *testing.F) {
	f.Add([]byte("refs/agents/x/steps/000001\x00" + idA + "\x00{\"kind\":\"turn\"}\n"))
	f.Add([]byte("refs/agents/x/steps/y\x00\x00{}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		list, err := parseCheckpoints(in)
		if err != nil {
			return
		}
		for _, c := range list {
			if !isObjectID(c.Tip) {
				t.Errorf("%+v", c)
			}
		}
	})
}

func FuzzPackHeader(f *testing.F) {
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x03rest"))
	f.Add([]byte("PACK\x00\x00\x00\x03\x00\x00\x00\x03"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := packHeader(bytes.NewReader(in)); err == nil && !bytes.HasPrefix(in, []byte("PACK")) {
			t.Errorf("%q is taken for a pack", in)
		}
	})
}

func FuzzListedPath(f *testing.F) {
	f.Add("100644 "+idA+" 0\ta b\tc", 1)
	f.Add("100644 blob "+idA+"\ttree/x\n", 2)
	f.Fuzz(func(t *testing.T, line string, id int) {
		id = 1 + id&1
		words, path, err := listedPath(line, id)
		if err != nil {
			return
		}
		if len(words) != 3 || !isObjectID(words[id]) || path == "" || !strings.HasSuffix(line, "\t"+path) {
			t.Errorf("%q became %q and %q", line, words, path)
		}
	})
}

// What an agent calls a file is one word to git fast-import, whatever is in it
// (git-fast-import(1): LF, backslash and quote are escaped, nothing else has to be).
func FuzzQuoteC(f *testing.F) {
	f.Add("a\"\nD \"x")
	f.Add(`\\"`)
	f.Fuzz(func(t *testing.T, path string) {
		quoted := quoteC(path)
		var back strings.Builder
		inside := quoted[1 : len(quoted)-1]
		for i := 0; i < len(inside); i++ {
			c := inside[i]
			if c == '"' || c == '\n' {
				t.Fatalf("%q ends early: %q", path, quoted)
			}
			if c == '\\' {
				if i++; i == len(inside) {
					t.Fatalf("%q has no end: %q", path, quoted)
				}
				if c = inside[i]; c == 'n' {
					c = '\n'
				}
			}
			back.WriteByte(c)
		}
		if back.String() != path {
			t.Errorf("%q became %q", path, back.String())
		}
	})
}

func FuzzFillSubjects(f *testing.F) {
	f.Add([]byte(idA + " a subject \n" + idB + "\n"))
	f.Add([]byte(idB + " \x1b[31m\xff..\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		commits := []HeldCommit{{ID: idA}, {ID: idB}}
		if fillSubjects(out, commits) != nil {
			return
		}
		for _, c := range commits {
			if strings.Contains(c.Subject, "\n") || c.ID != idA && c.ID != idB {
				t.Errorf("commit %+v", c)
			}
		}
	})
}
