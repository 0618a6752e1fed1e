# The few commands of this project. `make test` and `make check` are what CI
# runs (.ci/run). They need Go, git and npm, and the race detector a C compiler;
# scripts/test-setup says what is missing.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT     = $(GO) tool -modfile=tools/go.mod golangci-lint
# What the race detector runs over: everything that needs no sandbox of its own.
UNIT     = $(shell $(GO) list ./internal/... | grep -v -e /runtime/ -e /workspace -e /arch)
# The packages that have benchmarks.
BENCHED  = $(shell grep -rl --include='*_test.go' '^func Benchmark' internal | xargs -n1 dirname | sort -u | sed 's|^|./|')

export CGO_ENABLED = 0
# One set of compiled packages for the build, the tests and an ordinary user's
# copy of the tree: paths would make each of them compile everything again.
export GOFLAGS := $(GOFLAGS) -trimpath

.PHONY: build demo test check fmt lint race cross bench redteam-git fuzz sizes clean

build: ## one static binary: bin/agent-process
	VERSION='$(VERSION)' ./scripts/build

demo: build ## the whole thing on a copy of example/, without an account
	bin/agent-process demo

test: build ## all tests; those that need what this machine lacks are skipped, with CI=true they fail
	./scripts/test-setup
	$(GO) test -timeout 40m ./...
	cd third_party/reference && $(GO) test ./...

check: lint race ## everything that can be said without running a sandbox
	$(GO) vet ./...
	@fixes="$$($(GO) fix -diff ./...)"; if [ -n "$$fixes" ]; then echo "$$fixes"; echo "check: run go fix ./..." >&2; exit 1; fi
	$(GO) mod tidy -diff
	cd third_party/reference && $(GO) vet ./... && $(GO) mod tidy -diff
	$(GO) test -count=1 ./internal/arch/...

fmt: ## rewrite the source as the formatters want it
	$(LINT) fmt

lint:
	$(LINT) fmt --diff
	$(LINT) run ./...

race: ## unit tests under the race detector; it needs a C compiler, and with CI=true there must be one
	@if command -v cc >/dev/null || command -v gcc >/dev/null; then \
		CGO_ENABLED=1 $(GO) test -race -timeout 15m $(UNIT); \
	else echo "race: no C compiler here, so no race detector" >&2; [ "$$CI" != true ]; fi

cross: ## the binary for every other platform; it must build
	@for platform in darwin/arm64 darwin/amd64 linux/arm64; do \
		echo "cross: $$platform"; GOOS=$${platform%/*} GOARCH=$${platform#*/} ./scripts/build ".cache/cross/$${platform%/*}-$${platform#*/}/agent-process" || exit 1; done

bench: build ## the parts one by one, then ratios with the peers, on this machine, in one run
	$(GO) test -run '^$$' -bench . -benchtime 1s -timeout 20m $(BENCHED)
	$(GO) run ./bench -binary bin/agent-process

redteam-git: ## the table of what agents plant for git on the host, run against the built binary
	./scripts/test-setup
	$(GO) test -count=1 -timeout 30m -v -run '^TestAttackGit' ./e2e

fuzz: ## every fuzz target for a minute
	./scripts/fuzz 60s

sizes: ## how long files and functions are
	@$(GO) run ./internal/arch/sizes .

clean:
	rm -rf bin .cache
