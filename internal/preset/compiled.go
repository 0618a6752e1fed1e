package preset

import (
	"context"
	"encoding/json"
	"path"
	"strings"
)

// golang is for go: its proxies, its checksum database, and the repositories of
// private modules.
func golang() kind {
	names := []string{"GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY"}
	return kind{
		host: func(s *search) {
			for _, name := range names {
				s.goVariable("$"+name, name, s.env(name))
			}
			s.settled = s.env("GOPROXY") != "" && s.env("GOSUMDB") != ""
		},
		ask: func(ctx context.Context, s *search) {
			values := strings.Split(s.output(ctx, append([]string{"go", "env"}, names...)...), "\n")
			for i, name := range names {
				if i < len(values) {
					s.goVariable("`go env "+name+"`", name, strings.TrimSpace(values[i]))
				}
			}
		},
		locks:   []string{"go.sum"},
		missing: "say `go env -w GOPROXY=URL`",
	}
}

func (s *search) goVariable(from, name, value string) {
	s.tellGo(name, value)
	switch name {
	case "GOPROXY":
		for word := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || r == '|' }) {
			s.add(from, word, pages) // "direct" and "off" are no URLs
		}
	case "GOSUMDB":
		// NAME, NAME+KEY, or either and a URL.
		fields := strings.Fields(value)
		if len(fields) == 0 || fields[0] == "off" {
			return
		}
		if len(fields) > 1 {
			s.add(from, fields[1], pages)
			return
		}
		s.add(from, "https://"+cutAt(fields[0], "+"), pages)
	default:
		for glob := range strings.SplitSeq(value, ",") {
			s.goPrivate(from, strings.TrimSpace(glob))
		}
	}
}

// tellGo has go inside know what go on the machine does. A value that is not
// plain, or holds credentials, is left out.
func (s *search) tellGo(name, value string) {
	if value == "" || strings.ContainsAny(value, "\n\r\"'@") || s.told[name] {
		return
	}
	s.told[name] = true
	s.inside[".config/go/env"] += name + "=" + value + "\n"
}

// goPrivate reads a pattern of modules that are fetched from their repositories,
// which their hosts name in a page that is asked for first.
func (s *search) goPrivate(from, glob string) {
	host, rest, _ := strings.Cut(glob, "/")
	switch {
	case glob == "" || !strings.Contains(host, "."):
	case strings.ContainsAny(strings.TrimPrefix(host, "*."), "*?[\\") || strings.HasPrefix(host, "*."):
		s.problem("%s: %q stands for hosts that cannot be told: list them, such as: *.example.com git:read", from, glob)
	default:
		if strings.ContainsAny(rest, "*?[\\") {
			rest = path.Dir(cutAt(rest, "*?[\\") + "x")
		}
		s.add(from, "https://"+host+"/"+strings.Trim(rest, "."), gitHost)
		s.add(from, "https://"+host+"/"+strings.Trim(rest, "."), pages)
	}
}

// cargo is for cargo.
func cargo() kind {
	return kind{
		host: func(s *search) {
			s.read(cargoConfig, s.cargoHome("config.toml"), s.cargoHome("config"))
			// What cargo has fetched says where it was fetched from, and where the
			// index says that packages are.
			s.read(cargoIndex, s.cargoHome("registry", "index", "*", "config.json"))
			s.settled = len(s.found) > 0
		},
		files: map[string]func(*search, File){
			"Cargo.lock":  func(s *search, f File) { s.urls(f, whole, "source = \"sparse+", "source = \"git+") },
			"config.toml": cargoProject, "config": cargoProject,
		},
		locks:   []string{"Cargo.lock"},
		missing: "run cargo once on this machine, or name the registry and where its packages are in ~/.cargo/config.toml",
	}
}

func cargoProject(s *search, f File) {
	if path.Base(path.Dir(f.Path)) == ".cargo" {
		cargoConfig(s, f)
	}
}

// cargoConfig reads [source.NAME] and [registries.NAME].
func cargoConfig(s *search, f File) {
	settings(f, func(number int, section, key, value string) {
		s.tellCargo(section, key, value)
		source, registry := strings.HasPrefix(section, "source."), strings.HasPrefix(section, "registries.")
		switch {
		case source && key == "registry", registry && key == "index":
			if sparse, ok := strings.CutPrefix(value, "sparse+"); ok {
				s.add(at(f, number), sparse, whole)
				return
			}
			s.add(at(f, number), value, gitRepo)
			s.add(at(f, number), origin(value), whole) // the packages
		case source && key == "git":
			s.add(at(f, number), value, gitRepo)
		}
	})
}

// cargoIndex reads an index's own configuration: its directory is named for its
// host, and "dl" is where packages are.
func cargoIndex(s *search, f File) {
	var index struct {
		DL string `json:"dl"`
	}
	if json.Unmarshal(f.Data, &index) != nil {
		return
	}
	dir := path.Base(path.Dir(f.Path))
	if i := strings.LastIndexByte(dir, '-'); i > 0 {
		s.add(path.Dir(f.Path), "https://"+dir[:i], whole)
	}
	s.add(f.Path, origin(cutAt(index.DL, "{")), whole)
}

// maven is for Maven and Gradle.
func maven() kind {
	return kind{
		host: func(s *search) {
			s.read(mavenXML, s.home(".m2", "settings.xml"), "/etc/maven/settings.xml", "/usr/share/maven/conf/settings.xml")
			s.read(gradle, s.home(".gradle", "init.gradle"), s.home(".gradle", "init.gradle.kts"), s.home(".gradle", "init.d", "*.gradle"))
		},
		files: map[string]func(*search, File){
			"pom.xml": mavenXML, "settings.xml": mavenXML, "build.gradle": gradle, "build.gradle.kts": gradle, "settings.gradle": gradle, "settings.gradle.kts": gradle,
		},
		locks:   []string{"pom.xml", "build.gradle", "build.gradle.kts"},
		missing: "name the repository as a <mirror> in ~/.m2/settings.xml",
	}
}

// mavenXML reads the <url> of mirrors and repositories to read from.
func mavenXML(s *search, f File) {
	s.tellMaven(f)
	elements(f, func(at, text string, _ map[string]string) {
		if text == "" || strings.Contains(at, "distributionManagement") {
			return
		}
		for _, end := range []string{"mirror/url", "repository/url", "pluginRepository/url"} {
			if strings.HasSuffix(at, end) {
				s.add(f.Path, text, pages)
			}
		}
	})
}

// gradle finds URLs in lines that are about repositories.
func gradle(s *search, f File) { s.urls(f, pages, "url", "maven(", "uri(") }

// nuget is for dotnet and NuGet.
func nuget() kind {
	return kind{
		host: func(s *search) {
			s.read(nugetXML, s.home(".nuget", "NuGet", "NuGet.Config"), s.config("NuGet", "NuGet.Config"), "/etc/opt/NuGet/Config/*.config")
		},
		files:   map[string]func(*search, File){"NuGet.Config": nugetXML, "nuget.config": nugetXML, "NuGet.config": nugetXML},
		locks:   []string{"packages.lock.json"},
		missing: "add it with `dotnet nuget add source URL`",
	}
}

// nugetXML reads <packageSources><add key value>.
func nugetXML(s *search, f File) {
	s.tellNuGet(f)
	elements(f, func(at, _ string, attributes map[string]string) {
		if strings.HasSuffix(at, "packageSources/add") {
			s.add(f.Path, attributes["value"], whole)
		}
	})
}
