package toolpolicy

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"agentprocess/internal/shell"
)

// target is a path that a call touches.
type target struct {
	text  string // as it was said
	known bool   // text is all of it
	access
	// guess targets are what a call may touch besides: rules see them, the
	// scope does not.
	guess bool
	// within targets are what is somewhere below: the path itself stays.
	within bool
	// lexical and real are absolute: as said, and with symlinks followed.
	// Empty for a target that is not known.
	lexical, real string
	raw           string // what is asked of the resolver
	// vague is one that may as well be elsewhere: it may begin with something
	// that is not known.
	vague bool
}

var modePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[ugoa0-7+=,rwxXst-]+$`) })

// accesses says which of its operands a program reads, writes or deletes.
type accesses struct {
	c    *command
	list []target
}

// targetsOf gives the paths of a command, redirections included.
func targetsOf(c *command) []target {
	a := &accesses{c: c}
	for _, w := range c.Reads {
		a.word(w, read)
	}
	for _, w := range c.Writes {
		a.word(w, write)
	}
	if len(c.Words) > 0 {
		a.program()
		a.values()
	}
	return a.list
}

func (a *accesses) word(w shell.Word, what access) {
	a.add(token{text: w.Text, known: w.Known}, what)
}

func (a *accesses) add(t token, what access) {
	text, isFile := strings.CutPrefix(t.text, "file://")
	if isFile && !strings.HasPrefix(text, "/") {
		_, text, _ = strings.Cut(text, "/") // file://localhost/...
		text = "/" + text
	}
	a.list = append(a.list, target{text: text, known: t.known, access: what})
}

func (a *accesses) each(list []token, what access) {
	for _, t := range list {
		a.add(t, what)
	}
}

// values adds what stands in options and after an "@": --file=/x, -d @/x.
func (a *accesses) values() {
	for _, t := range a.c.tokens() {
		v := t.text
		if _, value, ok := strings.Cut(v, "="); ok && !t.option && !t.known && strings.HasPrefix(v, "--") {
			a.add(token{text: value}, read) // --file=$HOME/x
		}
		if t.option {
			if v = t.value; t.hasValue != no && strings.ContainsAny(v, "/~") && !isProse(t) {
				a.add(token{text: v, known: t.hasValue == yes}, read)
			}
		}
		if i := strings.IndexByte(v, '@'); i == 0 || i > 0 && (v[i-1] == '=' || v[i-1] == ';') {
			a.add(token{text: v[i+1:], known: t.known}, read)
		}
	}
}

// isProse says that an option's value is text for people, or a pattern.
func isProse(t token) bool {
	switch t.name {
	case "-m", "-am", "--message", "--title", "--body", "-e", "--regexp", "--grep", "--description", "--author", "--trailer", "-H", "--header":
		return true
	}
	return strings.HasSuffix(t.letters, "m")
}

func (a *accesses) program() {
	ops := a.c.operands()
	switch a.c.Name {
	case "rm", "rmdir", "unlink", "shred", "trash", "trash-put", "srm":
		a.each(ops, remove)
	case "mv", "cp", "ln", "install", "rsync", "scp", "link":
		a.move(ops)
	case "socat":
		for _, t := range ops { // UNIX-CONNECT:/path,options
			if _, address, ok := strings.Cut(t.text, ":"); ok {
				p, _, _ := strings.Cut(address, ",")
				a.add(token{text: p, known: t.known}, read|write)
			}
		}
	case "tee", "truncate", "touch", "mkdir", "mkfifo", "mknod", "ed", "ex", "vi", "vim", "nvim", "nano", "emacs":
		a.each(ops, write)
	case "patch":
		a.each(ops[:min(1, len(ops))], write)
	case "chmod", "setfacl", "chattr":
		if len(ops) > 0 && modePattern().MatchString(ops[0].text) { // -x is no operand
			ops = ops[1:]
		}
		a.each(ops, write)
	case "chown", "chgrp":
		a.each(rest(ops), write)
	case "sed", "perl", "gsed":
		a.inPlace(ops)
	case "dd":
		a.dd()
	case "find":
		a.find()
	case "curl", "wget":
		a.download()
	case "tar", "unzip", "bsdtar":
		a.archive(ops)
	case "git":
		a.git(ops)
	case "sort":
		a.each(ops, read)
		a.option(write, "-o", "--output")
	case "awk", "gawk", "mawk", "grep", "egrep", "rg", "jq", "yq":
		a.each(ops, read)
		a.option(read, "-f", "--file")
	default:
		a.others(ops)
	}
}

// rest are the words behind the first.
func rest(list []token) []token { return list[min(1, len(list)):] }

// option adds the value of an option.
func (a *accesses) option(what access, names ...string) {
	if t, ok := a.c.valueOf(names...); ok {
		a.add(t, what)
	}
}

// move is for programs whose last operand is where all others go: also the
// files in it, when it is a directory.
func (a *accesses) move(ops []token) {
	from := read
	if a.c.Name == "mv" || a.c.Name == "rsync" && a.c.hasOption(option{text: "--remove-source-files", long: "--remove-source-files"}) == yes {
		from = read | remove
	}
	if a.c.Name == "install" && a.c.hasOption(option{text: "-d", letters: "d"}) == yes {
		a.each(ops, write)
		return
	}
	to, ok := a.c.valueOf("-t", "--target-directory")
	if !ok {
		if len(ops) == 0 {
			return
		}
		to, ops = ops[len(ops)-1], ops[:len(ops)-1]
		if len(ops) == 0 && a.c.Name == "ln" { // ln -s FILE makes ./FILE
			ops, to = []token{to}, token{text: ".", known: true}
		}
	}
	a.each(ops, from)
	what := write
	if a.c.Name == "rsync" && slices.ContainsFunc(a.c.tokens(), func(t token) bool { return strings.HasPrefix(t.name, "--del") }) {
		what |= remove // what is not where it comes from
	}
	a.add(to, what)
	for _, t := range ops {
		if name := path.Base(t.text); t.known && to.known && name != "." && name != "/" && name != ".." {
			a.list = append(a.list, target{text: to.text + "/" + name, known: true, access: write, guess: true})
		}
	}
}

// inPlace is for sed and perl, whose first operand is a script when no option
// brings one.
func (a *accesses) inPlace(ops []token) {
	scripted, inPlace := false, false
	for _, t := range a.c.tokens() {
		if !t.option {
			continue
		}
		inPlace = inPlace || strings.HasPrefix(t.name, "--in-place") || !strings.HasPrefix(t.name, "--") && strings.Contains(t.name, "i")
		scripted = scripted || strings.HasPrefix(t.name, "--expression") || strings.HasPrefix(t.name, "--file") ||
			!strings.HasPrefix(t.name, "--") && strings.ContainsAny(t.name, "ef")
	}
	what := read
	if inPlace {
		what = write
	}
	if !scripted {
		ops = rest(ops)
	}
	a.each(ops, what)
}

func (a *accesses) dd() {
	for _, t := range a.c.tokens() {
		if p, ok := strings.CutPrefix(t.text, "of="); ok {
			a.add(token{text: p, known: t.known}, write)
		}
		if p, ok := strings.CutPrefix(t.text, "if="); ok {
			a.add(token{text: p, known: t.known}, read)
		}
	}
}

// find deletes below where it starts; what it runs is a command of its own.
func (a *accesses) find() {
	what, within := read, false
	for _, t := range a.c.tokens() {
		switch t.name {
		case "-type":
			within = within || t.value != "f" // all files are as good as all
		case "-exec", "-execdir", "-ok", "-okdir":
			within = true
			if t.hasValue == yes && slices.Contains([]string{"rm", "unlink", "rmdir", "shred", "mv"}, path.Base(t.value)) {
				what = remove
			}
		case "-delete":
			what = remove
		case "", "-depth", "-d", "-maxdepth", "-mindepth", "-xdev", "-mount", "-print", "-H", "-L", "-P":
		default:
			within = true // some test, so not all of it
		}
	}
	starts := 0
	for _, w := range a.c.Words[1:] {
		if w.Known && (w.Text == "(" || w.Text == "!" || strings.HasPrefix(w.Text, "-") && !slices.Contains([]string{"-H", "-L", "-P"}, w.Text)) {
			break
		}
		a.list = append(a.list, target{text: w.Text, known: w.Known, access: what, within: within})
		starts++
	}
	if starts == 0 {
		a.list = append(a.list, target{text: ".", known: true, access: what, within: within})
	}
	a.option(write, "-fprint", "-fprintf", "-fls")
}

func (a *accesses) download() {
	switch a.c.Name {
	case "curl":
		a.option(write, "-o", "--output")
		a.option(write, "-D", "--dump-header")
		a.option(write, "-c", "--cookie-jar")
		a.option(read, "-T", "--upload-file")
		a.option(read, "-K", "--config")
		a.option(read, "--netrc-file")
		a.option(read, "-E", "--cert")
		a.option(read, "--key")
		a.option(read, "--unix-socket")
	default:
		a.option(write, "-O", "--output-document")
		a.option(write, "-P", "--directory-prefix")
		a.option(read, "--post-file", "--body-file")
		a.option(read, "--load-cookies")
	}
	for _, t := range a.c.operands() {
		if strings.HasPrefix(t.text, "file:") {
			a.add(t, read)
		}
	}
}

// archive is for programs that unpack: into -C or -d, or here.
func (a *accesses) archive(ops []token) {
	file, hasFile := a.c.valueOf("-f", "--file")
	creates := a.c.hasOption(option{text: "-c", letters: "c"}) == yes || a.c.hasOption(option{text: "--create", long: "--create"}) == yes
	if len(ops) > 0 && a.c.Name != "unzip" && !strings.ContainsAny(ops[0].text, "/.") { // tar czf x.tgz dir
		creates = creates || strings.Contains(ops[0].text, "c")
		if strings.Contains(ops[0].text, "f") && len(ops) > 1 {
			file, hasFile = ops[1], true
		}
		ops = rest(ops)
	}
	what := read
	if creates && a.c.Name != "unzip" {
		what = write
	}
	if hasFile {
		a.add(file, what)
	}
	if from, ok := a.c.valueOf("-C", "--directory"); ok && creates {
		for _, t := range ops {
			a.add(token{text: from.text + "/" + t.text, known: from.known && t.known}, read)
		}
	}
	a.each(ops, read)
	if !creates {
		a.option(write, "-C", "--directory")
		a.option(write, "-d")
	}
}

// git is for the subcommands that change files as others do.
func (a *accesses) git(ops []token) {
	if len(ops) == 0 {
		return
	}
	args := rest(ops)
	switch ops[0].text {
	case "rm":
		a.each(args, remove)
	case "mv":
		a.move(args)
		for i := range len(args) - 1 {
			a.add(args[i], remove)
		}
	case "checkout":
		// From the index or HEAD is only taking changes back.
		if i := a.dashes(); i >= 0 && len(args) > len(a.c.Words)-1-i {
			a.each(args[len(args)-(len(a.c.Words)-1-i):], write)
		} else if i < 0 && len(args) > 1 {
			a.each(rest(args), write)
		}
	case "restore":
		if _, ok := a.c.valueOf("-s", "--source"); ok {
			a.each(args, write)
		}
	case "hash-object", "diff", "show", "blame", "grep", "add":
		a.each(args, read)
	case "init", "clone":
		if len(args) > 1 || ops[0].text == "init" {
			a.each(args[max(0, len(args)-1):], write)
		}
	}
}

// dashes gives the place of "--" among the words, -1 when there is none.
func (a *accesses) dashes() int {
	for i, w := range a.c.Words {
		if w.Known && w.Text == "--" {
			return i
		}
	}
	return -1
}

// others is for all programs that are not listed: what looks like a path is
// one that is read.
func (a *accesses) others(ops []token) {
	switch a.c.Name {
	case "echo", "printf", "true", "false", ":", "export", "declare", "local", "set", "unset", "read", "return", "exit", "shift", "kill", "sleep", "seq", "date", "cd", "pushd", "popd":
		return
	case "cat", "head", "tail", "less", "more", "base64", "base32", "xxd", "od", "hexdump", "strings", "nl", "tac", "diff", "cmp", "cut", "uniq", "wc",
		"source", ".", "openssl", "gpg", "zip", "gzip", "bat", "view", "sh", "bash", "zsh", "python", "python3", "node", "nc":
		a.each(ops, read)
		return
	}
	for _, t := range ops {
		if strings.ContainsAny(t.text, "/.~") {
			a.add(t, read)
		}
	}
}
