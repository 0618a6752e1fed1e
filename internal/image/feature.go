package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Feature is a directory of the project with a script, install.sh, that adds to
// an image.
type Feature struct {
	Name    string
	Options map[string]string // variables of the script
	Env     []string          // K=V, of the image
	Files   []File            // paths are relative to its directory
}

// featureDir is the directory of a feature, which must be the project's own.
func featureDir(source, name string) (string, error) {
	dir := path.Join(path.Dir(source), name)
	if !strings.HasPrefix(name, "./") || !strings.HasPrefix(dir, path.Dir(source)+"/") || path.Dir(source) == "." {
		return "", fmt.Errorf("feature %q is not below %s: features of registries are not fetched; write what it installs in a Dockerfile, or copy its directory there and name it ./NAME",
			truncated(name), path.Dir(devcontainer))
	}
	return dir, nil
}

// readFeature reads one from the files of the tree.
func readFeature(source, name string, value any, files []File) (Feature, error) {
	dir, err := featureDir(source, name)
	if err != nil {
		return Feature{}, err
	}
	f := Feature{Name: name, Options: map[string]string{}}
	var about struct {
		Options map[string]struct {
			Default any `json:"default"`
		} `json:"options"`
		ContainerEnv map[string]string `json:"containerEnv"`
	}
	script := false
	for _, file := range files {
		rest, below := strings.CutPrefix(file.Path, dir+"/")
		if !below {
			continue
		}
		switch file.Path = rest; {
		case file.Mode&0o170000 != 0o100000:
			return f, fmt.Errorf("feature %q: %s is no regular file", name, rest)
		case rest == "install.sh":
			script = true
		case rest == "devcontainer-feature.json":
			data, err := standard(file.Data)
			if err == nil {
				err = json.Unmarshal(data, &about)
			}
			if err != nil {
				return f, fmt.Errorf("feature %q: %s: %w", name, rest, err)
			}
		}
		f.Files = append(f.Files, file)
	}
	if !script {
		return f, fmt.Errorf("feature %q: there is no %s/install.sh in the commit", name, dir)
	}
	for option, o := range about.Options {
		if o.Default != nil {
			f.Options[optionVariable(option)] = fmt.Sprint(o.Default)
		}
	}
	switch v := value.(type) {
	case string:
		f.Options["VERSION"] = v
	case map[string]any:
		for option, given := range v {
			f.Options[optionVariable(option)] = fmt.Sprint(given)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(about.ContainerEnv)) {
		f.Env = append(f.Env, k+"="+about.ContainerEnv[k])
	}
	return f, checkFeature(f)
}

func checkFeature(f Feature) error {
	for k, v := range f.Options {
		if !validName(k) || !oneLine(v) || strings.Contains(v, "<<") {
			return fmt.Errorf("feature %q: the option %q cannot be a variable", f.Name, truncated(k))
		}
	}
	return checkEnv("feature "+f.Name, f.Env)
}

var oddOption = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^A-Za-z0-9_]`) })

// optionVariable is the variable of an option, as the specification of features
// has it.
func optionVariable(option string) string {
	name := strings.TrimLeft(oddOption().ReplaceAllString(option, "_"), "0123456789_")
	return strings.ToUpper(name)
}

// environment are the variables of its script, as words of a shell.
func (f Feature) environment(user string) string {
	if user == "" {
		user = "root"
	}
	all := maps.Clone(f.Options)
	all["_REMOTE_USER"], all["_CONTAINER_USER"] = user, user
	var words []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		// A backslash is the Dockerfile's own, too.
		words = append(words, k+"="+"'"+strings.NewReplacer(`'`, `'"'"'`).Replace(all[k])+"'")
	}
	return strings.Join(words, " ")
}
