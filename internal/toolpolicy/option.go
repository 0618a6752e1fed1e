package toolpolicy

import "strings"

// grammar is what is known of a program's options: which take the next word
// as their value, and which do not. Of all others both is assumed.
type grammar struct {
	value, flag string // "--long", "-x" each, with spaces between
	// single programs have long options with one dash (find, go, java).
	single bool
}

// grammarOf gives the grammar of a program and, for some, of its subcommand.
// An option is listed only where it is sure what it does: one that is wrongly
// said to take a value would hide the word behind it, and one that is wrongly
// said not to would put its value where the subcommand is looked for. What is
// not listed is read both ways.
func grammarOf(program, sub string) grammar {
	if strings.HasPrefix(program, "python3.") {
		program = "python3"
	}
	switch program {
	case "git":
		return gitGrammar(sub)
	case "rm":
		return grammar{flag: "-f -i -I -r -R -d -v --recursive --force --verbose --dir --one-file-system --preserve-root --no-preserve-root"}
	case "rmdir", "unlink":
		return grammar{flag: "-p -v --parents --verbose --ignore-fail-on-non-empty"}
	case "mkdir":
		return grammar{value: "-m --mode", flag: "-p -v --parents --verbose"}
	case "touch":
		return grammar{value: "-d --date -r --reference -t", flag: "-a -c -m -h -f --no-create"}
	case "mv", "cp", "ln", "install":
		return grammar{value: "-t --target-directory -S --suffix -m --mode -o --owner -g --group", flag: "-f -i -n -v -u -r -R -a -p -d -L -P -H -s -T -b -l -x -D -C -c --force --recursive --archive --verbose --symbolic --no-clobber --update"}
	case "chmod", "chown", "chgrp":
		return grammar{value: "--reference --from", flag: "-R -v -c -f -h -H -L -P --recursive --verbose --changes --silent --quiet"}
	case "npm":
		return grammar{value: "--prefix -C --registry --workspace -w", flag: "--silent -s --quiet -q --verbose --workspaces -ws --if-present --ignore-scripts --no-audit --no-fund --global -g --json --yes -y --save-dev -D --dry-run --force -f"}
	case "pnpm":
		return grammar{value: "-C --dir --filter -F", flag: "--silent -s -r --recursive -w --workspace-root -g --global"}
	case "yarn":
		return grammar{value: "--cwd", flag: "--silent -s --json --verbose"}
	case "docker", "podman", "nerdctl", "buildah":
		return grammar{value: "--context -c --config --host -H --log-level -l --tlscacert --tlscert --tlskey --root --runroot -t --tag -f --file --build-arg --target --platform --name --network --label -v --volume -e --env -p --publish --builder --cache-from --cache-to -o --output", flag: "--debug -D --tls --tlsverify --remote -r"}
	case "cargo":
		return grammar{value: "--color --config -Z -C --manifest-path --target-dir --package -p --token --registry --index --features -F --target -j --jobs --bin --example --test --profile", flag: "-v -q --verbose --quiet --frozen --locked --offline --release --all --workspace --allow-dirty --no-verify --dry-run --all-features --no-default-features --all-targets --lib --bins"}
	case "gh", "glab":
		return grammar{value: "-R --repo --hostname -X --method", flag: "--help"}
	case "python", "python3":
		return grammar{value: "-m -c -W -X", flag: "-u -B -E -I -s -S -v -q -O -OO -b -d -i"}
	case "kill", "pkill", "killall":
		return grammar{value: "-s --signal", flag: "-9 -15 -1 -2 -3 -KILL -TERM -HUP -INT -SIGKILL -SIGTERM -f -x"}
	case "pip", "pip3", "uv", "poetry", "hatch", "twine", "gem":
		return grammar{value: "--python --cache-dir --directory --project --config-file --config", flag: "-v -q --verbose --quiet"}
	case "mvn", "mvnw":
		return grammar{value: "-f --file -s --settings -pl --projects -P --activate-profiles -T --threads -l --log-file -gs", flag: "-q -B -U -o -e -X -am -DskipTests --batch-mode --quiet --offline -ntp --no-transfer-progress", single: true}
	case "make", "gmake":
		return grammar{value: "-C --directory -f --file --makefile -I -o -W", flag: "-B -d -e -i -k -n -p -q -r -R -s -S -t -v -w -j"}
	case "find", "go", "java", "terraform", "openssl", "gradle", "gradlew":
		return grammar{single: true}
	case "systemctl":
		return grammar{value: "-t --type -H --host -M --machine -p --property -s --signal", flag: "--user --system --now -q --quiet --no-pager -f --force --global"}
	}
	return grammar{}
}

// gitFlags are flags of all that make commits out of others.
const gitFlags = "--no-ff --ff --ff-only --abort --continue --skip --quit --no-edit --edit -e -i --interactive --autosquash --autostash --squash --no-commit -n -q -v --no-verify --root"

// gitGrammar has the options before a subcommand, and those of it whose values
// could be taken for something else.
func gitGrammar(sub string) grammar {
	g := grammar{
		value: "-C -c --git-dir --work-tree --namespace --exec-path --super-prefix --config-env --attr-source --list-cmds",
		flag:  "--no-pager -p -P --paginate --bare --no-replace-objects --literal-pathspecs --no-optional-locks --glob-pathspecs --noglob-pathspecs --icase-pathspecs --no-lazy-fetch --html-path --man-path --info-path --version --help",
	}
	switch sub {
	case "":
		return g
	case "commit":
		return grammar{value: "-m --message -F --file -C -c --reuse-message --reedit-message --author --date -t --template --fixup --squash --trailer --cleanup --pathspec-from-file", flag: "-a -n -q -v -s -p -e -i -o -z --all --amend --no-edit --no-verify --allow-empty --signoff --quiet --verbose --allow-empty-message"}
	case "merge":
		return grammar{value: "-m -F --message --file -s --strategy -X --strategy-option --into-name --cleanup", flag: gitFlags}
	case "rebase":
		return grammar{value: "-s --strategy -X --strategy-option --onto -x --exec", flag: gitFlags}
	case "pull":
		return grammar{value: "-s --strategy -X --strategy-option", flag: gitFlags + " --rebase -r"}
	case "revert", "cherry-pick":
		return grammar{value: "-X --strategy-option --strategy -m --mainline --cleanup", flag: gitFlags + " -s -x"}
	case "am":
		return grammar{flag: gitFlags + " -s -m -k -3 -u"}
	case "tag":
		return grammar{value: "-m --message -F --file -u --local-user --sort --format --contains --points-at --merged --no-merged --cleanup", flag: "-a -s -d -f -l -n -v --list --annotate --sign --delete --force"}
	case "branch":
		return grammar{value: "-u --set-upstream-to --contains --no-contains --merged --no-merged --sort --format --points-at", flag: "-a -r -v -vv -d -D -f -m -M -c -C -l --list --all --remotes --show-current --force --delete --move --copy --unset-upstream -q -t --track --no-track"}
	case "checkout", "switch", "restore":
		return grammar{value: "-b -B -c -C --orphan -s --source --conflict --pathspec-from-file --create --force-create", flag: "-f -q -d -t -p -m -S -W --staged --worktree --detach --force --quiet --ours --theirs --track --no-track --guess --patch --merge --discard-changes --progress"}
	case "push", "fetch", "clone":
		return grammar{value: "-o --push-option --receive-pack --exec --repo --upload-pack --depth --deepen --shallow-since --shallow-exclude --refmap -j --jobs -b --branch -c --config --reference --origin --filter --template --separate-git-dir --server-option", flag: "-u -f -d -n -q -v --all --tags --force --prune -p --set-upstream --dry-run --mirror --delete --follow-tags --quiet --verbose --no-verify --bare --recursive --recurse-submodules --single-branch --no-tags --atomic --progress"}
	case "config":
		return grammar{value: "-f --file --blob --type --default --comment --value --url", flag: "--global --system --local --worktree --add --get --get-all --unset --unset-all --replace-all -l --list -e --edit --bool --int --path -z --null --name-only --show-origin --show-scope --includes --remove-section --rename-section --all"}
	case "rm", "mv", "clean", "reset", "add":
		return grammar{value: "-e --exclude --pathspec-from-file --chmod", flag: "-r -f -n -q -v -k -d -x -X -i -p -A -u -N --cached --force --dry-run --quiet --ignore-unmatch --hard --soft --mixed --keep --merge --all --patch --update --interactive --intent-to-add"}
	}
	return grammar{}
}

// takes says whether an option has the next word as its value.
func (g grammar) takes(option string) match {
	switch {
	case hasWord(g.value, option):
		return yes
	case hasWord(g.flag, option):
		return no
	}
	return maybe
}

// hasWord looks for a word between spaces.
func hasWord(list, word string) bool {
	for at := 0; word != ""; {
		i := strings.Index(list[at:], word)
		if i < 0 {
			return false
		}
		at += i
		end := at + len(word)
		if (at == 0 || list[at-1] == ' ') && (end == len(list) || list[end] == ' ') {
			return true
		}
		at = end
	}
	return false
}
