package shell

import (
	"slices"
	"strings"
)

// runner is how a package manager is told to run a program.
type runner struct {
	verbs []string // the words before its command: any of them; none: at once
	deep  int      // how many words there are before the command
	o     options
	texts []string // options whose value is a line of shell
}

// runners knows the managers of packages and of environments.
func runners(name string) []runner {
	js := options{values: "pCwF", flags: "yqsr", long: []string{"--package", "--prefix", "--workspace", "--loglevel", "--registry", "--cache", "--dir", "--filter", "--cwd", "--userconfig"}, longFlags: []string{"--yes", "--no", "--no-install", "--quiet", "--silent", "--ignore-existing", "--workspaces", "--recursive", "--if-present", "--bun"}}
	text := []string{"-c", "--call"}
	withCall := js
	withCall.values += "c"
	withCall.long = append(slices.Clone(js.long), "--call")
	py := options{values: "pPeEn", flags: "qv", long: []string{"--with", "--from", "--python", "--project", "--directory", "--extra", "--group", "--env-file", "--index-url", "--spec", "--name", "--prefix", "--env", "--with-requirements", "--with-editable"}, longFlags: []string{"--no-sync", "--frozen", "--locked", "--isolated", "--no-project", "--all-extras", "--offline", "--active", "--no-cache", "--quiet", "--verbose", "--dev", "--no-dev", "--no-capture-output", "--live-stream"}}
	switch name {
	case "npx", "pnpx", "bunx":
		return []runner{{o: withCall, texts: text}}
	case "npm":
		return []runner{{verbs: []string{"exec", "x"}, deep: 1, o: withCall, texts: text}}
	case "pnpm":
		return []runner{{verbs: []string{"exec", "dlx"}, deep: 1, o: js}}
	case "devbox", "pixi", "infisical":
		return []runner{{verbs: []string{"run"}, deep: 1, o: py}}
	case "yarn", "bun", "corepack":
		return []runner{{verbs: []string{"exec", "dlx", "x", "npm", "pnpm", "yarn"}, deep: 1, o: js}}
	case "uvx":
		return []runner{{o: py}}
	case "uv", "poetry", "pipenv", "pdm", "rye", "hatch", "pipx", "conda", "mamba", "dotenvx", "op", "doppler":
		runs := []runner{{verbs: []string{"run"}, deep: 1, o: py}}
		if name == "uv" {
			runs = append(runs, runner{verbs: []string{"tool"}, deep: 2, o: py})
		}
		return runs
	case "bundle", "rbenv", "pyenv", "asdf", "mise", "aws-vault":
		own := 0
		if name == "aws-vault" {
			own = 1
		}
		return []runner{{verbs: []string{"exec", "x"}, deep: 1, o: options{flags: "dn", operands: own}}}
	case "direnv":
		return []runner{{verbs: []string{"exec"}, deep: 1, o: options{operands: 1}}}
	case "cross-env":
		return []runner{{o: options{assigns: true}}}
	case "nix":
		return []runner{{verbs: []string{"develop", "shell", "run"}, deep: 1, o: options{values: "cf", long: []string{"--command", "--file"}}, texts: []string{"-c", "--command"}}}
	case "perf":
		return []runner{{verbs: []string{"stat", "record", "trace"}, deep: 1, o: options{values: "eoFCpr", flags: "agdvx", long: []string{"--event", "--output"}}}}
	case "cmake":
		return []runner{{verbs: []string{"-E"}, deep: 2, o: options{assigns: true, long: []string{"--unset", "--modify"}}}}
	case "ip":
		return []runner{{verbs: []string{"netns"}, deep: 2, o: options{operands: 1}}}
	}
	return nil
}

// manager runs what a package manager runs.
func (f *finder) manager(name string, c *call) {
	for _, r := range runners(name) {
		f.managed(name, c, r)
	}
}

func (f *finder) managed(name string, c *call, r runner) {
	args, via := c.args(), name
	if r.deep > 0 {
		args = slices.Clone(args)
		if r.verbs[0] != "-E" {
			args = r.o.head(args)
		}
		if len(args) < r.deep || !slices.Contains(r.verbs, args[0].Text) {
			return
		}
		if r.deep == 2 && !slices.Contains([]string{"exec", "env", "chdir", "time", "run"}, args[1].Text) {
			return
		}
		via += " " + args[0].Text
		if r.deep == 2 && args[1].Text == "chdir" {
			r.o.operands = 1
		}
		args = args[r.deep:]
	}
	s := r.o.command(args)
	for _, t := range r.texts {
		value, ok := s.seen[t]
		switch {
		case ok && name == "nix": // a command, and its words after it
			f.starts(c, via, append([]field{value}, s.rest...), nil)
			return
		case ok:
			f.option(c, via+" "+t, value)
			return
		}
	}
	for _, rest := range append(s.others, s.rest) {
		if len(rest) == 0 || name == "nix" {
			continue
		}
		rest = slices.Clone(rest)
		if p := rest[0]; p.Known && (name == "npx" || name == "pnpx" || name == "bunx" || strings.Contains(via, "dlx") || via == "npm exec" || via == "npm x") {
			rest[0].Text = packageProgram(p.Text)
		}
		f.starts(c, via, rest, nil)
	}
}

// head skips the options before the verb of a manager.
func (o options) head(args []field) []field {
	o.operands, o.assigns = 0, false
	return o.command(args).rest
}

// packageProgram is the program of a package: cowsay@1.2 has cowsay.
func packageProgram(text string) string {
	if i := strings.LastIndexByte(text, '@'); i > 0 {
		return text[:i]
	}
	return text
}
