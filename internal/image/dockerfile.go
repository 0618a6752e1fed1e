package image

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxDockerfile bounds a Dockerfile, in bytes.
const maxDockerfile = 1 << 20

// Dockerfile is one that was parsed and judged.
type Dockerfile struct {
	escape       byte
	instructions []instruction
	bases        []string // images that it begins with or copies from
	stages       []string // their names, "" for none
	context      bool     // it copies from the context
}

// instruction is one of a Dockerfile, on one line.
type instruction struct {
	line int
	name string // in capitals
	args string
}

// Bases are the images that must be there, each once.
func (d *Dockerfile) Bases() []string { return d.bases }

// UsesContext reports whether it copies from the context.
func (d *Dockerfile) UsesContext() bool { return d.context }

// names are the instructions there are.
func names() []string {
	return []string{
		"ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN",
		"SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
	}
}

// ParseDockerfile reads and judges a Dockerfile; args are the values of its ARG
// instructions that are given from outside. Errors name the line.
func ParseDockerfile(data []byte, args map[string]string) (*Dockerfile, error) {
	if len(data) > maxDockerfile {
		return nil, fmt.Errorf("%d bytes are too many", len(data))
	}
	d := &Dockerfile{escape: '\\'}
	if err := d.split(data); err != nil {
		return nil, err
	}
	j := judge{file: d, given: args, global: map[string]string{}}
	for i := range d.instructions {
		if err := j.instruction(&d.instructions[i]); err != nil {
			return nil, fmt.Errorf("line %d: %w", d.instructions[i].line, err)
		}
	}
	if len(d.stages) == 0 {
		return nil, errors.New("there is no FROM")
	}
	return d, nil
}

// HasTarget reports whether there is a stage of that name or number.
func (d *Dockerfile) HasTarget(name string) bool {
	n, err := strconv.Atoi(name)
	return slices.Contains(d.stages, strings.ToLower(name)) || err == nil && n >= 0 && n < len(d.stages)
}

// split makes instructions of lines.
func (d *Dockerfile) split(data []byte) error {
	text := strings.ReplaceAll(string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))), "\r\n", "\n")
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }); i >= 0 {
		return fmt.Errorf("line %d: it holds the control character %q", 1+strings.Count(text[:i], "\n"), text[i])
	}
	lines := strings.Split(text, "\n")
	first, err := d.directives(lines)
	if err != nil {
		return err
	}
	var open *instruction // goes on in the next line
	for i, line := range lines {
		trimmed := strings.Trim(line, " \t")
		if i < first || trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if open == nil {
			d.instructions = append(d.instructions, instruction{line: i + 1})
			open, line = &d.instructions[len(d.instructions)-1], trimmed
		}
		part, more := d.continued(line)
		open.args += part
		if !more {
			open = nil
		}
	}
	for i := range d.instructions {
		if err := d.instructions[i].cut(d.escape); err != nil {
			return fmt.Errorf("line %d: %w", d.instructions[i].line, err)
		}
	}
	return nil
}

// directives reads the comments at the top that are more than comments.
func (d *Dockerfile) directives(lines []string) (rest int, err error) {
	for i, line := range lines {
		key, value, is := strings.Cut(strings.TrimPrefix(strings.Trim(line, " \t"), "#"), "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !strings.HasPrefix(strings.Trim(line, " \t"), "#") || !is || !slices.Contains([]string{"escape", "syntax", "check"}, key) {
			return i, nil
		}
		if key != "escape" {
			continue // another builder's
		}
		if value = strings.TrimSpace(value); value != `\` && value != "`" {
			return 0, fmt.Errorf("line %d: escape %q: there are \\ and `", i+1, value)
		}
		d.escape = value[0]
	}
	return len(lines), nil
}

// continued says whether a line goes on, and gives it without the sign of that.
func (d *Dockerfile) continued(line string) (string, bool) {
	cut := strings.TrimRight(line, " \t")
	if !strings.HasSuffix(cut, string(d.escape)) || strings.HasSuffix(cut, strings.Repeat(string(d.escape), 2)) {
		return line, false
	}
	return cut[:len(cut)-1], true
}

// cut finds the name of an instruction whose args hold all of it.
func (i *instruction) cut(escape byte) error {
	text := strings.Trim(i.args, " \t")
	name, args := text, ""
	if at := strings.IndexAny(text, " \t"); at >= 0 {
		name, args = text[:at], strings.Trim(text[at:], " \t")
	}
	i.name, i.args = strings.ToUpper(name), args
	switch {
	case !slices.Contains(names(), i.name):
		return fmt.Errorf("unknown instruction %q", truncated(name))
	case args == "":
		return fmt.Errorf("%s says nothing", i.name)
	case strings.HasSuffix(args, string(escape)):
		return fmt.Errorf("it ends with %q", escape)
	case slices.Contains([]string{"ADD", "COPY", "RUN"}, i.name) && heredoc().MatchString(args):
		return errors.New("a here-document is read in two ways by different builders: write a file, or use printf")
	}
	return nil
}

func truncated(s string) string { return s[:min(len(s), 60)] }

// judge decides about instructions.
type judge struct {
	file   *Dockerfile
	given  map[string]string // from outside
	global map[string]string // of ARG before the first FROM
}

var heredoc = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?:^|[^<])<<-?\s*["'\\]?[A-Za-z_]`) })

// instruction judges one, and settles which image a FROM means.
func (j *judge) instruction(i *instruction) error {
	if j.file.stages == nil && i.name != "ARG" && i.name != "FROM" {
		return fmt.Errorf("%s comes before the first FROM", i.name)
	}
	switch i.name {
	case "ARG":
		if j.file.stages == nil {
			return j.arg(i.args)
		}
	case "FROM":
		return j.from(i)
	case "ONBUILD":
		inner := instruction{args: i.args}
		if err := inner.cut(j.file.escape); err != nil {
			return err
		}
		if slices.Contains([]string{"FROM", "ONBUILD", "MAINTAINER"}, inner.name) {
			return fmt.Errorf("ONBUILD %s is nothing", inner.name)
		}
		return j.instruction(&inner)
	case "RUN":
		if strings.HasPrefix(i.args, "--") {
			return fmt.Errorf("RUN %s is of another builder, which the rules for the network do not reach", strings.Fields(i.args)[0])
		}
	case "ADD", "COPY":
		return j.copies(i)
	}
	return nil
}

// arg takes an ARG before the first FROM.
func (j *judge) arg(args string) error {
	name, value, _ := strings.Cut(args, "=")
	if !validName(name) || strings.ContainsAny(value, " \t") {
		return fmt.Errorf("ARG %q before FROM: want one NAME=VALUE", truncated(args))
	}
	value, err := j.expand(strings.Trim(value, `"'`))
	if err != nil {
		return err
	}
	if given, ok := j.given[name]; ok {
		value = given
	}
	j.global[name] = value
	return nil
}

// from settles FROM [--platform=P] IMAGE [AS NAME].
func (j *judge) from(i *instruction) error {
	words := strings.Fields(i.args)
	if platform, is := strings.CutPrefix(words[0], "--platform="); is && (strings.Trim(platform, "${}") == "BUILDPLATFORM" || strings.Trim(platform, "${}") == "TARGETPLATFORM") {
		words = words[1:] // both are this machine's
	}
	if len(words) != 1 && (len(words) != 3 || !strings.EqualFold(words[1], "as")) {
		return fmt.Errorf("FROM %q: want IMAGE, or IMAGE AS NAME", truncated(i.args))
	}
	base, err := j.expand(words[0])
	if err != nil {
		return err
	}
	name := ""
	if len(words) == 3 {
		name = strings.ToLower(words[2])
		if !stageName().MatchString(name) || slices.Contains(j.file.stages, name) {
			return fmt.Errorf("FROM ... AS %q: that is no name, or one that is taken", truncated(words[2]))
		}
	}
	if err := j.base(base, false); err != nil {
		return err
	}
	words[0] = base
	i.args = strings.Join(words, " ")
	j.file.stages = append(j.file.stages, name)
	return nil
}

var stageName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9_.-]*$`) })

// base notes an image; numbers may name stages.
func (j *judge) base(name string, number bool) error {
	n, err := strconv.Atoi(name)
	switch {
	case slices.Contains(j.file.stages, strings.ToLower(name)), number && err == nil && n >= 0 && n < len(j.file.stages), name == "scratch" && !number:
		return nil
	case !ValidReference(name):
		return fmt.Errorf("%q is no name of an image", truncated(name))
	}
	if !slices.Contains(j.file.bases, name) {
		j.file.bases = append(j.file.bases, name)
	}
	return nil
}

var reference = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9]+(?:[._:/@-]+[A-Za-z0-9_]+)*$`)
})

// ValidReference reports whether name can be that of an image.
func ValidReference(name string) bool { return len(name) <= 512 && reference().MatchString(name) }

// copies judges ADD and COPY: sources are of the context, a stage, or an image
// that is there. What an engine would fetch itself never meets the gateway.
func (j *judge) copies(i *instruction) error {
	words := strings.Fields(i.args)
	context := true
	for len(words) > 0 && strings.HasPrefix(words[0], "--") {
		key, value, _ := strings.Cut(words[0], "=")
		switch key {
		case "--from":
			if err := j.base(strings.Trim(value, `"`), true); err != nil {
				return fmt.Errorf("%s --from: %w", i.name, err)
			}
			context = false
		case "--chown", "--chmod":
		default:
			return fmt.Errorf("%s %s is of another builder", i.name, truncated(words[0]))
		}
		words = words[1:]
	}
	rest := strings.Join(words, " ")
	if i.name == "ADD" && (strings.Contains(rest, "://") || strings.Contains(rest, "git@") || strings.ContainsAny(rest, `$\`+string(j.file.escape))) {
		return errors.New("ADD of an URL, a variable or an escape: the engine would fetch it, past the rules for the network; use RUN with curl, or COPY")
	}
	j.file.context = j.file.context || context
	return nil
}

var variable = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-+])([^${}]*))?\})`)
})

// expand puts the values of ARG before the first FROM into text.
func (j *judge) expand(text string) (string, error) {
	var unknown string
	out := variable().ReplaceAllStringFunc(text, func(m string) string {
		p := variable().FindStringSubmatch(m)
		value, known := j.global[p[1]+p[2]]
		switch {
		case p[3] == "-" && value == "":
			return p[4]
		case p[3] == "+" && value == "":
			return ""
		case p[3] == "+":
			return p[4]
		case !known:
			unknown = p[1] + p[2]
		}
		return value
	})
	if unknown != "" {
		return "", fmt.Errorf("the variable %q is no ARG before FROM", unknown)
	}
	if strings.ContainsAny(out, "$\"'`\\") {
		return "", fmt.Errorf("%q is not understood", truncated(out))
	}
	return out, nil
}

func validName(name string) bool { return regexpName().MatchString(name) }

var regexpName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })

// Render writes it as it was understood; after are lines that follow each FROM.
func (d *Dockerfile) Render(after []string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# escape=%c\n", d.escape)
	for _, i := range d.instructions {
		fmt.Fprintf(&out, "%s %s\n", i.name, i.args)
		if i.name == "FROM" {
			for _, line := range after {
				fmt.Fprintln(&out, line)
			}
		}
	}
	return out.Bytes()
}
