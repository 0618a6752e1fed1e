package preset

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
)

// urlText finds URLs in text of any format.
var urlText = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:git\+|sparse\+|registry\+)?https?://[^\s"'<>(){}\[\],\\|` + "`" + `]+`)
})

// maxLine bounds a line that is looked into: no lockfile of a client has longer
// ones where URLs are.
const maxLine = 64 << 10

// eachLine hands on the lines of a file, with their numbers.
func eachLine(data []byte, use func(number int, line string)) {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if len(line) <= maxLine {
			use(number, strings.TrimRight(string(line), "\r\n"))
		}
	}
}

// at is a line of a file, as a result names it.
func at(f File, number int) string { return fmt.Sprintf("%s:%d", f.Path, number) }

// urls takes in every URL in lines that have one of the words; a git URL is of a
// repository. Many lines are of one host, so a host is parsed once.
func (s *search) urls(f File, as shape, words ...string) {
	hosts := map[string]bool{}
	eachLine(f.Data, func(number int, line string) {
		if !strings.Contains(line, "://") || !hasOne(line, words) {
			return
		}
		for _, found := range urlText().FindAllString(line, -1) {
			kind := as
			if rest, ok := strings.CutPrefix(found, "git+"); ok {
				found, kind = strings.TrimSuffix(cutAt(rest, "?#"), "/"), gitRepo
			}
			found = strings.TrimPrefix(strings.TrimPrefix(found, "sparse+"), "registry+")
			if kind == whole {
				found = origin(found)
			}
			if !hosts[found] && len(hosts) < maxFound {
				hosts[found] = true
				s.add(at(f, number), found, kind)
			}
		}
	})
}

func hasOne(line string, words []string) bool {
	for _, w := range words {
		if strings.Contains(line, w) {
			return true
		}
	}
	return len(words) == 0
}

// origin is a URL without its path.
func origin(raw string) string {
	scheme, rest, _ := strings.Cut(raw, "://")
	return scheme + "://" + cutAt(rest, "/?#")
}

// cutAt is text up to the first of some characters.
func cutAt(text, chars string) string {
	if i := strings.IndexAny(text, chars); i >= 0 {
		return text[:i]
	}
	return text
}

// settings hands on the lines "key = value" of a file; section is the one they
// stand in, and a line that goes on with another value has the key before it.
func settings(f File, use func(number int, section, key, value string)) {
	section, key := "", ""
	eachLine(f.Data, func(number int, line string) {
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
		case text[0] == '[':
			section, key = strings.Trim(text, "[]"), ""
		default:
			name, value, ok := strings.Cut(text, "=")
			if indented := line[0] == ' ' || line[0] == '\t'; indented && key != "" && (!ok || strings.Contains(name, "://")) {
				use(number, section, key, text)
				return
			}
			if ok {
				key = strings.ToLower(strings.TrimSpace(name))
				use(number, section, key, unquoted(value))
			}
		}
	})
}

// unquoted is a value without blanks and quotes around it.
func unquoted(value string) string {
	return strings.Trim(strings.TrimSpace(value), `"'`)
}

// expanded puts variables of the person's into "${NAME}"; one that is not set
// makes the text none.
func (s *search) expanded(value string) string {
	missing := false
	out := os.Expand(strings.ReplaceAll(value, "$$", "$"), func(name string) string {
		v := s.env(name)
		missing = missing || v == ""
		return v
	})
	if missing {
		return ""
	}
	return out
}

// elements hands on the texts and attributes of an XML file: path is the names
// of the elements around, with slashes.
func elements(f File, use func(path, text string, attributes map[string]string)) {
	dec := xml.NewDecoder(bytes.NewReader(f.Data))
	dec.Strict = false
	var path []string
	const deepest = 64
	for {
		token, err := dec.Token()
		if err != nil {
			return
		}
		switch t := token.(type) {
		case xml.StartElement:
			if path = append(path, t.Name.Local); len(path) > deepest {
				return
			}
			attributes := map[string]string{}
			for _, a := range t.Attr {
				attributes[a.Name.Local] = a.Value
			}
			use(strings.Join(path, "/"), "", attributes)
		case xml.EndElement:
			if len(path) > 0 {
				path = path[:len(path)-1]
			}
		case xml.CharData:
			if text := strings.TrimSpace(string(t)); text != "" {
				use(strings.Join(path, "/"), text, nil)
			}
		}
	}
}
