package preset

import (
	"cmp"
	"context"
	"path/filepath"
	"strings"
)

// npm is for npm, pnpm, yarn and bun.
func npm() kind {
	return kind{
		host: func(s *search) {
			for _, name := range []string{"NPM_CONFIG_REGISTRY", "npm_config_registry", "YARN_NPM_REGISTRY_SERVER"} {
				s.fromEnv(name)
				s.tell(".npmrc", "", "registry=%s", s.env(name))
			}
			user := s.env("NPM_CONFIG_USERCONFIG")
			if user == "" {
				user = s.home(".npmrc")
			}
			s.read(npmrc, user, "/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc", "/usr/share/npm/npmrc", s.config("pnpm", "rc"))
			s.read(yarnrc, s.home(".yarnrc.yml"), s.home(".yarnrc"))
		},
		ask: func(ctx context.Context, s *search) {
			s.add("`npm config get registry`", s.output(ctx, "npm", "config", "get", "registry"), whole)
		},
		files: map[string]func(*search, File){
			".npmrc": npmrc, ".yarnrc.yml": yarnrc, ".yarnrc": yarnrc,
			"package-lock.json": resolved, "npm-shrinkwrap.json": resolved, "yarn.lock": resolved, "bun.lock": resolved,
			"pnpm-lock.yaml": func(s *search, f File) { s.urls(f, whole, "tarball:") },
		},
		locks:   []string{"package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock"},
		missing: "write `registry=URL` into ~/.npmrc",
	}
}

// npmrc reads "registry=URL" and "@scope:registry=URL". Of tokens and the rest
// nothing is looked at.
func npmrc(s *search, f File) {
	settings(f, func(number int, _, key, value string) {
		if key != "registry" && !strings.HasSuffix(key, ":registry") {
			return
		}
		if value = s.expanded(value); value != "" {
			s.settled = s.settled || key == "registry" && !s.project
			s.add(at(f, number), value, whole)
			if scope := strings.TrimSuffix(key, ":registry"); scope == key || plainScope(scope) {
				s.tell(".npmrc", "", key+"=%s", value)
			}
		}
	})
}

// plainScope reports whether a scope of npm is "@" and letters.
func plainScope(scope string) bool {
	return len(scope) > 1 && scope[0] == '@' && strings.Trim(scope[1:], "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

func yarnrc(s *search, f File) {
	s.urls(f, whole, "npmRegistryServer:", "registry \"", "registry ")
}

func resolved(s *search, f File) { s.urls(f, whole, "resolved", "\"https://") }

// fromEnv takes in the hosts of URLs that stand in a variable, with blanks or
// commas between.
func (s *search) fromEnv(name string) {
	for word := range strings.FieldsFuncSeq(s.env(name), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' }) {
		if _, after, ok := strings.Cut(word, "=http"); ok { // uv names its indexes
			word = "http" + after
		}
		s.settled = true
		s.add("$"+name, word, whole)
	}
}

// pypi is for pip, uv, poetry, pdm and pipenv.
func pypi() kind {
	return kind{
		host: func(s *search) {
			for _, name := range []string{"PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"} {
				s.fromEnv(name)
			}
			s.tell(pipInside, pipHead, "index-url = %s", s.env("PIP_INDEX_URL"))
			s.tell(uvInside, "", "[[index]]\ndefault = true\nurl = \"%s\"", cmp.Or(s.env("UV_DEFAULT_INDEX"), s.env("UV_INDEX_URL"), s.env("PIP_INDEX_URL")))
			settled := s.settled
			for _, name := range []string{"PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"} {
				s.fromEnv(name)
			}
			s.settled = settled
			s.read(pipConf, s.env("PIP_CONFIG_FILE"), s.config("pip", "pip.conf"), s.home(".pip", "pip.conf"), "/etc/pip.conf", "/etc/xdg/pip/pip.conf")
			s.read(uvToml, s.config("uv", "uv.toml"), "/etc/uv/uv.toml")
		},
		ask: func(ctx context.Context, s *search) {
			for line := range strings.Lines(s.output(ctx, "python3", "-I", "-c",
				"from pip._internal.models.index import PyPI as p\nprint(p.url)\nprint('https://' + p.file_storage_domain + '/')")) {
				s.add("pip", line, whole)
			}
		},
		files: map[string]func(*search, File){
			"uv.lock": locked, "poetry.lock": locked, "pdm.lock": locked, "Pipfile.lock": locked, "Pipfile": locked, "uv.toml": uvToml, "pyproject.toml": uvToml,
			"requirements.txt": func(s *search, f File) { s.urls(f, whole, "index-url", "-i ", "--find-links") },
		},
		locks:   []string{"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt"},
		missing: "write `index-url = URL` into the section [global] of ~/.config/pip/pip.conf",
	}
}

// The files of pip and uv below a home.
const (
	pipInside = ".config/pip/pip.conf"
	pipHead   = "[global]\n"
	uvInside  = ".config/uv/uv.toml"
)

func pipConf(s *search, f File) {
	settings(f, func(number int, _, key, value string) {
		switch strings.ReplaceAll(key, "_", "-") {
		case "index-url":
			s.settled = s.settled || !s.project
			s.add(at(f, number), value, whole)
			s.tell(pipInside, pipHead, "index-url = %s", value)
			s.tell(uvInside, "", "[[index]]\ndefault = true\nurl = \"%s\"", value)
		case "extra-index-url", "find-links":
			for word := range strings.FieldsSeq(value) {
				s.add(at(f, number), word, whole)
			}
		}
	})
}

// uvToml reads [[index]] tables, of uv and of poetry.
func uvToml(s *search, f File) {
	settings(f, func(number int, section, key, value string) {
		index := section == "index" || section == "tool.uv.index" || section == "tool.poetry.source"
		switch {
		case key == "index-url", key == "default" && index && value == "true":
			s.settled = s.settled || !s.project
		case key != "extra-index-url" && (key != "url" || !index):
			return
		}
		for _, found := range urlText().FindAllString(value, -1) {
			s.add(at(f, number), found, whole)
		}
	})
}

func locked(s *search, f File) { s.urls(f, whole, "url", "registry", "index") }

// rubygems is for gem and bundler.
func rubygems() kind {
	list := func(s *search, f File) { s.urls(f, whole, "- ", "MIRROR", "source ", "remote:") }
	return kind{
		host: func(s *search) {
			before := len(s.found)
			tell := func(s *search, f File) { s.tellGems(f); list(s, f) }
			s.read(tell, s.home(".gemrc"), s.config("gem", "gemrc"), "/etc/gemrc", s.home(".bundle", "config"))
			s.settled = len(s.found) > before
		},
		ask: func(ctx context.Context, s *search) {
			for line := range strings.Lines(s.output(ctx, "gem", "sources", "--list")) {
				s.add("`gem sources`", line, whole)
			}
		},
		files:   map[string]func(*search, File){"Gemfile.lock": list, "Gemfile": list},
		locks:   []string{"Gemfile.lock"},
		missing: "write its URL below `:sources:` into ~/.gemrc",
	}
}

// playwright is where its browsers are.
func playwright() kind {
	return kind{
		host: func(s *search) {
			for _, name := range []string{"PLAYWRIGHT_DOWNLOAD_HOST", "PLAYWRIGHT_CHROMIUM_DOWNLOAD_HOST", "PLAYWRIGHT_FIREFOX_DOWNLOAD_HOST", "PLAYWRIGHT_WEBKIT_DOWNLOAD_HOST"} {
				s.fromEnv(name)
			}
		},
		fixed: []string{"cdn.playwright.dev GET", "playwright.download.prss.microsoft.com GET"},
	}
}

// github is reading from one forge: repositories, releases, archives, its API.
func github() kind {
	return kind{fixed: []string{
		"github.com/*/* git:read", "codeload.github.com GET", "objects.githubusercontent.com GET", "release-assets.githubusercontent.com GET",
		"raw.githubusercontent.com GET", "github-cloud.githubusercontent.com GET", "api.github.com GET",
	}}
}

// apt is for Debian, Ubuntu and what is made of them.
func apt() kind {
	return kind{
		host: func(s *search) {
			s.read(aptList, "/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list")
			s.read(aptSources, "/etc/apt/sources.list.d/*.sources")
		},
		missing: "list the sources in /etc/apt/sources.list.d, as apt has them",
	}
}

// aptList reads "deb [options] URI suite components" (sources.list(5)).
func aptList(s *search, f File) {
	eachLine(f.Data, func(number int, line string) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "deb") {
			return
		}
		for word := range strings.FieldsSeq(cutAt(line, "#")) {
			if strings.Contains(word, "://") && !strings.Contains(word, "=") {
				s.add(at(f, number), word, pages)
				return
			}
		}
	})
}

// aptSources reads the URIs of deb822 stanzas.
func aptSources(s *search, f File) {
	in := false
	eachLine(f.Data, func(number int, line string) {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case line == "" || line[0] == '#':
			return
		case line[0] != ' ' && line[0] != '\t':
			if in = ok && strings.EqualFold(name, "URIs"); !in {
				return
			}
		case !in:
			return
		default:
			value = line
		}
		for word := range strings.FieldsSeq(value) {
			s.add(at(f, number), word, pages)
		}
	})
}

// cargoHome is where cargo keeps its things.
func (s *search) cargoHome(elem ...string) string {
	if dir := s.env("CARGO_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(append([]string{dir}, elem...)...)
	}
	return s.home(append([]string{".cargo"}, elem...)...)
}
