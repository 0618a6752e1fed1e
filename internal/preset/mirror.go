package preset

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// The files below a home by which clients inside know of registries. What is
// written there is made of plain words and of URLs without credentials, never
// copied: files of settings hold more than that.
const (
	cargoInside   = ".cargo/config.toml"
	mavenInside   = ".m2/settings.xml"
	gemInside     = ".gemrc"
	bundlerInside = ".bundle/config"
	nugetInside   = ".nuget/NuGet/NuGet.Config"
)

// maxTold bounds what one file tells.
const maxTold = 32

// line adds a line to a file below the home, once.
func (s *search) line(file, head, text string) {
	if s.project || s.told[file+text] || strings.Count(s.inside[file], "\n") > 4*maxTold {
		return
	}
	s.told[file+text] = true
	if s.inside[file] == "" {
		s.inside[file] = head
	}
	s.inside[file] += text + "\n"
}

// plainKey reports whether a name stands for itself in every file of settings.
func plainKey(name string) bool {
	const most = 64
	return name != "" && len(name) <= most && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

// tellCargo has cargo inside know one setting of a source or a registry.
func (s *search) tellCargo(section, key, value string) {
	kind, name, _ := strings.Cut(section, ".")
	name = unquoted(name)
	if !plainKey(name) || strings.Contains(name, ".") {
		return
	}
	switch {
	case kind == "source" && key == "replace-with":
		if !plainKey(value) {
			return
		}
	case kind == "source" && (key == "registry" || key == "git"), kind == "registries" && key == "index":
		sparse, rest := "", value
		if after, ok := strings.CutPrefix(value, "sparse+"); ok {
			sparse, rest = "sparse+", after
		}
		place := withoutUser(rest)
		if place == "" {
			return
		}
		value = sparse + place
	default:
		return
	}
	s.line(cargoInside, "", fmt.Sprintf("%s.%s.%s = \"%s\"", kind, name, key, value))
}

// mavenMirror is one of Maven's mirrors as its settings have it.
type mavenMirror struct {
	XMLName xml.Name `xml:"mirror"`
	ID      string   `xml:"id"`
	Of      string   `xml:"mirrorOf"`
	URL     string   `xml:"url"`
	Blocked string   `xml:"blocked,omitempty"`
}

// tellMaven has Maven inside know the mirrors of a file of settings.
func (s *search) tellMaven(f File) {
	var settings struct {
		Mirrors []mavenMirror `xml:"mirrors>mirror"`
	}
	if s.project || s.inside[mavenInside] != "" || xml.Unmarshal(f.Data, &settings) != nil {
		return
	}
	var b strings.Builder
	for i, m := range settings.Mirrors {
		m.URL = withoutUser(s.mavenEnv(m.URL))
		of := strings.Trim(strings.TrimSpace(m.Of), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*,!:") == "" && m.Of != ""
		if m.Blocked != "" || m.URL == "" || !of || !plainKey(m.ID) || i >= maxTold {
			continue
		}
		text, err := xml.Marshal(m)
		if err == nil {
			b.WriteString(string(text) + "\n")
		}
	}
	if b.Len() > 0 {
		s.inside[mavenInside] = "<settings><mirrors>\n" + b.String() + "</mirrors></settings>\n"
	}
}

// mavenEnv puts variables into ${env.NAME}.
func (s *search) mavenEnv(text string) string {
	return s.expanded(strings.ReplaceAll(strings.TrimSpace(text), "${env.", "${"))
}

// tellGems has gem and bundler inside know sources and mirrors: lines "- URL"
// of a gemrc, and "BUNDLE_MIRROR__...: URL" of bundler's settings.
func (s *search) tellGems(f File) {
	eachLine(f.Data, func(_ int, line string) {
		if raw, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok {
			if place := withoutUser(unquoted(raw)); place != "" {
				s.line(gemInside, "---\n:sources:\n", "- "+place)
			}
			return
		}
		key, raw, ok := strings.Cut(line, ": ")
		key = strings.TrimSpace(key)
		if !ok || !strings.HasPrefix(key, "BUNDLE_MIRROR__") || strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-:/.") != "" {
			return
		}
		if place := withoutUser(unquoted(raw)); place != "" {
			s.line(bundlerInside, "---\n", key+": \""+place+"\"")
		}
	})
}

// nugetSource is one of NuGet's sources as its settings have it.
type nugetSource struct {
	XMLName xml.Name `xml:"add"`
	Key     string   `xml:"key,attr"`
	Value   string   `xml:"value,attr"`
}

// tellNuGet has dotnet inside know the sources of a file of settings.
func (s *search) tellNuGet(f File) {
	var settings struct {
		Sources []nugetSource `xml:"packageSources>add"`
	}
	if s.project || s.inside[nugetInside] != "" || xml.Unmarshal(f.Data, &settings) != nil {
		return
	}
	var b strings.Builder
	for i, source := range settings.Sources {
		source.Value = withoutUser(source.Value)
		if source.Value == "" || !plainKey(source.Key) || i >= maxTold {
			continue
		}
		text, err := xml.Marshal(source)
		if err == nil {
			b.WriteString(string(text) + "\n")
		}
	}
	if b.Len() > 0 {
		s.inside[nugetInside] = "<configuration><packageSources>\n<clear/>\n" + b.String() + "</packageSources></configuration>\n"
	}
}
