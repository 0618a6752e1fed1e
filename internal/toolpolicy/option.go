package toolpolicy

import (
	"slices"
	"strings"
)

// grammar is what is known of a program's options: which take the next word
// as their value, and which do not. Of all others both is assumed.
type grammar struct {
	value, flag []string // "--long", "-x" each
	// single programs have long options with one dash (find, go, java).
	single bool
}

func words(s string) []string { return strings.Fields(s) }

// grammarOf gives the grammar of a program and, for some, of its subcommand.
func grammarOf(program, sub string) grammar {
	switch program {
	case "git":
		return gitGrammar(sub)
	case "rm", "rmdir", "unlink", "mkdir", "touch":
		return grammar{value: words("-m --mode -d --date -r --reference -t"), flag: words("-f -i -I -v -R --recursive --force --verbose --parents --no-create -a -c -h -p --dir --preserve-root --no-preserve-root")}.fix(program)
	case "mv", "cp", "ln", "install":
		return grammar{value: words("-t --target-directory -S --suffix -m --mode -o --owner -g --group"), flag: words("-f -i -n -v -u -r -R -a -p -d -L -P -H -s -T -b -l -x -D -C -c --force --recursive --archive --verbose --symbolic --no-clobber --update")}
	case "chmod", "chown", "chgrp":
		return grammar{value: words("--reference --from"), flag: words("-R -v -c -f -h -H -L -P --recursive --verbose --changes --silent --quiet")}
	case "npm", "pnpm", "yarn", "bun":
		return grammar{
			value: words("--prefix --registry --tag --access --otp --workspace -w --userconfig --cache --loglevel -C --dir --cwd --filter -F --omit --include --script-shell"),
			flag:  words("--silent -s --quiet -q -d --verbose --workspaces -ws --if-present --ignore-scripts --no-audit --no-fund --global -g --json --yes -y -D --save-dev --dry-run -r --recursive --frozen-lockfile --legacy-peer-deps --force -f --production --offline --prefer-offline"),
		}
	case "docker", "podman", "nerdctl", "buildah":
		return grammar{value: words("--context -c --config --host -H --log-level -l --tlscacert --tlscert --tlskey --root --runroot -t --tag -f --file --build-arg --target --platform --name --network --label -v --volume -e --env -p --publish --builder --cache-from --cache-to -o --output"), flag: words("--debug -D --tls --tlsverify --remote -r")}
	case "cargo":
		return grammar{value: words("--color --config -Z -C --manifest-path --target-dir --package -p --token --registry --index --features -F --target -j --jobs --bin --example --test --profile"), flag: words("-v -q --verbose --quiet --frozen --locked --offline --release --all --workspace --allow-dirty --no-verify --dry-run --all-features --no-default-features --all-targets --lib --bins")}
	case "gh", "glab":
		return grammar{value: words("-R --repo --hostname"), flag: words("--help")}
	case "kill", "pkill", "killall":
		return grammar{value: words("-s --signal -n -u -U -g -G -P -t"), flag: words("-9 -15 -1 -2 -3 -KILL -TERM -HUP -INT -f -x -l -v -i -I -q -w -SIGKILL -SIGTERM --full --exact")}
	case "pip", "pip3", "uv", "poetry", "hatch", "twine", "gem", "bundle":
		return grammar{value: words("--python --cache-dir --proxy --timeout --project --directory --config-file -C --config --color --index-url -i --log"), flag: words("-v -q --verbose --quiet --offline --no-cache -n --no-interaction --isolated --no-config")}
	case "mvn", "mvnw":
		return grammar{value: words("-f --file -s --settings -pl --projects -P --activate-profiles -T --threads -l --log-file -gs"), flag: words("-q -B -U -o -e -X -am -DskipTests --batch-mode --quiet --offline -ntp --no-transfer-progress"), single: true}
	case "make", "gmake":
		return grammar{value: words("-C --directory -f --file --makefile -I -o -W"), flag: words("-B -d -e -i -k -n -p -q -r -R -s -S -t -v -w -j")}
	case "find", "go", "java", "terraform", "openssl", "gradle", "gradlew":
		return grammar{single: true}
	case "systemctl":
		return grammar{value: words("-t --type -H --host -M --machine -p --property -s --signal"), flag: words("--user --system --now -q --quiet --no-pager -f --force --global")}
	}
	return grammar{}
}

// fix takes out what the programs that share a line do not: -r is recursive
// for rm, and a file's times for touch.
func (g grammar) fix(program string) grammar {
	if program == "rm" {
		g.value, g.flag = nil, append(g.flag, "-r", "-d")
	}
	return g
}

// gitGrammar has the options before a subcommand, and those of it whose values
// could be taken for something else.
func gitGrammar(sub string) grammar {
	g := grammar{
		value: words("-C -c --git-dir --work-tree --namespace --exec-path --super-prefix --config-env --attr-source --list-cmds"),
		flag:  words("--no-pager -p -P --paginate --bare --no-replace-objects --literal-pathspecs --no-optional-locks --glob-pathspecs --noglob-pathspecs --icase-pathspecs --no-lazy-fetch --html-path --man-path --info-path --version --help"),
	}
	switch sub {
	case "":
		return g
	case "commit":
		return grammar{value: words("-m --message -F --file -C -c --reuse-message --reedit-message --author --date -t --template --fixup --squash --trailer --cleanup --pathspec-from-file"), flag: words("-a -n -q -v -s -p -e -i -o -z --all --amend --no-edit --no-verify --allow-empty --signoff --quiet --verbose --allow-empty-message")}
	case "merge", "revert", "cherry-pick", "rebase", "am", "pull":
		return grammar{value: words("-m -F --message --file -s --strategy -X --strategy-option --onto -x --exec -C --into-name --cleanup --mainline"), flag: words("--no-ff --ff --ff-only --abort --continue --skip --quit --no-edit --edit -e -i --interactive --autosquash --autostash --squash --no-commit -n -q -v --no-verify --root --rebase -r")}
	case "tag":
		return grammar{value: words("-m --message -F --file -u --local-user --sort --format --contains --points-at --merged --no-merged --cleanup"), flag: words("-a -s -d -f -l -n -v --list --annotate --sign --delete --force")}
	case "branch":
		return grammar{value: words("-u --set-upstream-to --contains --no-contains --merged --no-merged --sort --format --points-at"), flag: words("-a -r -v -vv -d -D -f -m -M -c -C -l --list --all --remotes --show-current --force --delete --move --copy --unset-upstream -q -t --track --no-track")}
	case "checkout", "switch", "restore":
		return grammar{value: words("-b -B -c -C --orphan -s --source --conflict --pathspec-from-file --create --force-create"), flag: words("-f -q -d -t -p -m -S -W --staged --worktree --detach --force --quiet --ours --theirs --track --no-track --guess --patch --merge --discard-changes --progress")}
	case "push", "fetch", "clone":
		return grammar{value: words("-o --push-option --receive-pack --exec --repo --upload-pack --depth --deepen --shallow-since --shallow-exclude --refmap -j --jobs -b --branch -c --config --reference --origin --filter --template --separate-git-dir --server-option"), flag: words("-u -f -d -n -q -v --all --tags --force --prune -p --set-upstream --dry-run --mirror --delete --follow-tags --quiet --verbose --no-verify --bare --recursive --recurse-submodules --single-branch --no-tags --atomic --progress")}
	case "config":
		return grammar{value: words("-f --file --blob --type -t --default --comment --value --url"), flag: words("--global --system --local --worktree --add --get --get-all --unset --unset-all --replace-all -l --list -e --edit --bool --int --path -z --null --name-only --show-origin --show-scope --includes --remove-section --rename-section --all")}
	case "rm", "mv", "clean", "reset", "add":
		return grammar{value: words("-e --exclude --pathspec-from-file --chmod"), flag: words("-r -f -n -q -v -k -d -x -X -i -p -A -u -N --cached --force --dry-run --quiet --ignore-unmatch --hard --soft --mixed --keep --merge --all --patch --update --interactive --intent-to-add")}
	}
	return grammar{}
}

// takes says whether an option has the next word as its value.
func (g grammar) takes(option string) match {
	switch {
	case slices.Contains(g.value, option):
		return yes
	case slices.Contains(g.flag, option):
		return no
	}
	return maybe
}
