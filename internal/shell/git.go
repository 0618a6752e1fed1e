package shell

import (
	"path"
	"slices"
	"strings"
)

// git finds what git is told to run: aliases, options, hooks of configuration.
func (f *finder) git(c *call) {
	args := c.args()
	config := map[string]Word{}
	i := 0
	for i < len(args) && (strings.HasPrefix(args[i].Text, "-") || args[i].loose) {
		switch t := args[i].Text; {
		case (t == "-c" || t == "--config-env") && i+1 < len(args):
			i++
			f.gitConfig(c, config, args[i], t == "-c")
		case strings.HasPrefix(t, "--config-env="):
			w := args[i]
			w.Text = strings.TrimPrefix(t, "--config-env=")
			f.gitConfig(c, config, w, false)
		case slices.Contains([]string{"-C", "--git-dir", "--work-tree", "--namespace", "--super-prefix", "--attr-source", "--list-cmds"}, t):
			i++
		}
		i++
	}
	if i = min(i, len(args)); i == len(args) {
		return
	}
	sub, rest := args[i], args[i+1:]
	if value, ok := config["alias."+strings.ToLower(sub.Text)]; ok {
		f.gitAlias(c, args[:i], sub.Text, value, rest)
	}
	f.gitCommand(c, sub.Text, rest)
	for _, a := range rest {
		if _, command, ok := strings.Cut(a.Text, "ext::"); ok && a.Known && !strings.ContainsAny(a.Text[:strings.Index(a.Text, "ext::")], "/ ") {
			f.gitText(c, "git ext::", strings.ReplaceAll(command, "% ", `\ `))
		}
	}
}

// gitConfig is one key=value of the command line.
func (f *finder) gitConfig(c *call, config map[string]Word, w field, plain bool) {
	key, value, _ := strings.Cut(w.Text, "=")
	key = strings.ToLower(key)
	if !w.Known && !strings.Contains(w.Text, "=") {
		f.unknown("git -c: key is not known")
		return
	}
	v := Word{value, w.Known && plain}
	config[key] = v
	switch {
	case strings.HasPrefix(key, "alias."): // looked at where it is used
	case !gitRuns(key):
	case !v.Known:
		f.unknown("git -c %s is not known", key)
	default:
		f.gitText(c, "git -c "+key, strings.TrimPrefix(value, "!"))
	}
}

// gitRuns says whether git runs the value of a key.
func gitRuns(key string) bool {
	key = strings.ToLower(key)
	switch key {
	case "core.editor", "core.pager", "core.sshcommand", "core.askpass", "core.fsmonitor", "core.gitproxy",
		"core.alternaterefscommand", "sequence.editor", "diff.external", "gpg.program", "interactive.difffilter",
		"uploadpack.packobjectshook", "credential.helper", "web.browser", "gc.recentobjectshook",
		"receive.procreceiverefs", "instaweb.httpd", "sendemail.sendmailcmd", "sendemail.tocmd", "sendemail.cccmd":
		return true
	}
	for _, pattern := range []string{
		"pager.*", "diff.*.command", "diff.*.textconv", "difftool.*.cmd", "difftool.*.path", "mergetool.*.cmd",
		"merge.*.driver", "filter.*.clean", "filter.*.smudge", "filter.*.process", "credential.*.helper",
		"gpg.*.program", "gpg.ssh.defaultkeycommand", "remote.*.uploadpack", "remote.*.receivepack", "remote.*.vcs",
		"browser.*.cmd", "man.*.cmd", "trailer.*.command", "trailer.*.cmd", "tar.*.command", "submodule.*.update",
	} {
		if ok, err := path.Match(pattern, strings.ReplaceAll(key, "/", ".")); err == nil && ok {
			return true
		}
	}
	return false
}

// gitText is a line that git gives to a shell. pager.x may be only a switch.
func (f *finder) gitText(c *call, via, text string) {
	if text == "" || text == "true" || text == "false" {
		return
	}
	f.text(text, via, &call{dir: &Word{}, stdin: c.stdin})
	f.output = Word{}
}

// gitAlias is a command of git that the line itself made.
func (f *finder) gitAlias(c *call, global []field, name string, value Word, rest []field) {
	via := "git alias " + brief(name)
	if !value.Known {
		f.unknown("%s is not known", via)
		return
	}
	if command, ok := strings.CutPrefix(value.Text, "!"); ok {
		old := f.env
		f.env = old.child(words(rest), true)
		f.env.dirs, f.env.failed = []Word{{}}, []Word{{}}
		f.within(via, func() { f.read(command+` "$@"`, "sh") })
		f.env = old
		return
	}
	fields, ok := f.splitString(value.Text)
	if !ok {
		f.unknown("%s: %q", via, value.Text)
	}
	all := known("git")
	for i, g := range global { // its own alias again would be a circle, and git refuses it
		if !strings.HasPrefix(strings.ToLower(g.Text), "alias."+strings.ToLower(name)+"=") {
			all = append(all, g)
		} else if i > 0 {
			all = all[:len(all)-1]
		}
	}
	f.starts(c, via, slices.Concat(all, fields, rest), nil)
}

// gitVariable is configuration in the environment.
func (f *finder) gitVariable(name, value string) {
	if name == "GIT_CONFIG_PARAMETERS" || gitRuns(value) || strings.HasPrefix(strings.ToLower(value), "alias.") {
		f.unknown("%s=%s", name, brief(value))
	}
}

// gitCommand are the commands of git that run others.
func (f *finder) gitCommand(c *call, sub string, rest []field) {
	switch sub {
	case "submodule":
		f.gitForeach(c, rest)
	case "bisect":
		if len(rest) > 1 && rest[0].Text == "run" {
			f.starts(c, "git bisect run", rest[1:], &Word{})
		}
	case "rebase":
		f.gitOption(c, rest, "git rebase --exec", "-x", "--exec")
	case "filter-branch":
		for _, name := range []string{"--env-filter", "--tree-filter", "--index-filter", "--parent-filter", "--msg-filter", "--commit-filter", "--tag-name-filter", "--setup"} {
			f.gitOption(c, rest, "git filter-branch "+name, name)
		}
	case "difftool", "mergetool":
		f.gitOption(c, rest, "git difftool --extcmd", "-x", "--extcmd")
	case "fetch", "pull", "ls-remote", "fetch-pack", "clone":
		f.gitOption(c, rest, "git --upload-pack", "--upload-pack")
		if sub == "clone" {
			f.gitOption(c, rest, "git --upload-pack", "-u")
			f.gitCloned(c, rest)
		}
	case "push", "send-pack", "archive":
		f.gitOption(c, rest, "git --receive-pack", "--receive-pack", "--exec")
	case "grep":
		for _, a := range rest {
			if name, text, ok := strings.Cut(a.Text, "="); ok && strings.HasPrefix(name, "--o") && strings.HasPrefix("--open-files-in-pager", name) {
				f.gitText(c, "git grep -O", text)
			} else if text, ok := strings.CutPrefix(a.Text, "-O"); ok && text != "" {
				f.gitText(c, "git grep -O", text)
			}
		}
	case "config":
		f.gitSet(c, rest)
	case "for-each-repo":
		f.unknown("git for-each-repo")
	}
}

// gitForeach runs a command, or a line if it is one word, in each submodule.
func (f *finder) gitForeach(c *call, rest []field) {
	i := slices.IndexFunc(rest, func(w field) bool { return w.Text == "foreach" })
	if i < 0 {
		return
	}
	rest = options{flags: "q", longFlags: []string{"--recursive", "--quiet"}}.command(rest[i+1:]).rest
	away := *c
	away.dir = &Word{}
	switch {
	case len(rest) == 1:
		f.option(&away, "git submodule foreach", rest[0])
	case len(rest) > 1:
		f.starts(&away, "git submodule foreach", rest, nil)
	}
}

// gitOption is an option with a line of shell, which git runs at the top of
// the tree.
func (f *finder) gitOption(c *call, rest []field, via string, names ...string) {
	away := *c
	away.dir = &Word{}
	f.textOption(&away, rest, via, names...)
}

// textOption is an option with a line of shell.
func (f *finder) textOption(c *call, rest []field, via string, names ...string) {
	for i, a := range rest {
		for _, name := range names {
			text, attached := optionValue(a.Text, name)
			switch {
			case attached && text == "" && i+1 < len(rest):
				f.option(c, via, rest[i+1])
			case attached && strings.HasPrefix(text, "=") && strings.HasPrefix(name, "--"):
				f.option(c, via, field{Word: Word{text[1:], a.Known}})
			case attached && text != "" && !strings.HasPrefix(name, "--"):
				f.option(c, via, field{Word: Word{text, a.Known}})
			}
		}
	}
}

// optionValue is what stands behind the name of an option in its own word, with
// the "=" of a long one. Long names may be cut short, and a letter may follow
// others: -ix.
func optionValue(text, name string) (value string, ok bool) {
	if strings.HasPrefix(name, "--") {
		const shortest = len("--exe")
		head, _, _ := strings.Cut(text, "=")
		if len(head) < min(shortest, len(name)) || !strings.HasPrefix(name, head) {
			return "", false
		}
		return text[len(head):], true
	}
	if value, ok = strings.CutPrefix(text, name); ok || len(name) != len("-x") || !strings.HasPrefix(text, "-") {
		return value, ok
	}
	before, value, ok := strings.Cut(text[1:], name[1:])
	return value, ok && strings.Trim(before, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// gitCloned is the configuration that a clone begins with.
func (f *finder) gitCloned(c *call, rest []field) {
	for i, a := range rest {
		text, attached := strings.CutPrefix(a.Text, "--config=")
		switch {
		case attached:
			f.gitConfig(c, map[string]Word{}, field{Word: Word{text, a.Known}}, true)
		case (a.Text == "-c" || a.Text == "--config") && i+1 < len(rest):
			f.gitConfig(c, map[string]Word{}, rest[i+1], true)
		}
	}
}

// gitSet is git config: what it writes runs later, perhaps in the next line.
func (f *finder) gitSet(c *call, rest []field) {
	for i, a := range rest[:max(0, len(rest)-1)] {
		key, value := strings.ToLower(a.Text), rest[i+1]
		name, alias := strings.CutPrefix(key, "alias.")
		switch {
		case !alias && !gitRuns(key), slices.ContainsFunc(rest[:i], func(w field) bool { return strings.HasPrefix(w.Text, "--get") || w.Text == "get" }):
		case !value.Known:
			f.unknown("git config %s is not known", key)
		case alias:
			f.gitAlias(c, nil, name, value.Word, []field{more()})
		default:
			f.gitText(c, "git config "+key, strings.TrimPrefix(value.Text, "!"))
		}
	}
}
