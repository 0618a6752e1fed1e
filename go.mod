module agentprocess

go 1.26.0

require (
	github.com/bmatcuk/doublestar/v4 v4.10.4 // globs with **, for policies and --scope
	github.com/containerd/errdefs v1.0.0 // which error of an engine it is
	github.com/elastic/go-seccomp-bpf v1.6.0 // the names and numbers of system calls
	github.com/google/go-cmp v0.7.0 // differences in tests
	github.com/google/nftables v0.3.0 // the redirect inside, without an nft binary
	github.com/landlock-lsm/go-landlock v0.11.0 // Landlock's system calls, on all threads at once
	github.com/moby/moby/api v1.57.0 // the types of the Docker API
	github.com/moby/moby/client v0.6.3 // the official client of the Docker API
	github.com/moby/profiles/seccomp v0.3.0 // the list of allowed system calls that containers have proved
	github.com/opencontainers/runtime-spec v1.2.1 // the types that list is written in
	github.com/pelletier/go-toml/v2 v2.4.3 // config.toml, with the line and column of errors
	github.com/rogpeppe/go-internal v1.16.0 // testscript, for the end-to-end scripts
	github.com/spf13/cobra v1.10.2 // the command line
	github.com/tailscale/hujson v0.0.0-20260727124030-b80ff77dac4f // devcontainer.json, which is JSON with comments
	github.com/vishvananda/netlink v1.3.1 // interfaces and routes inside, without an ip binary
	golang.org/x/net v0.62.0 // DNS messages, IDNA, BPF programs
	golang.org/x/sync v0.24.0 // groups of goroutines, and a bound on them
	golang.org/x/sys v0.49.0 // mounts, namespaces and the other calls that package syscall lacks
	golang.org/x/term v0.47.0 // is it a terminal, how wide, raw mode
	google.golang.org/grpc v1.73.0 // a client and a server of gRPC to test the gateway with
	modernc.org/sqlite v1.62.0 // the database, without cgo
	mvdan.cc/sh/v3 v3.14.1 // shell, parsed as a shell does
	software.sslmate.com/src/go-pkcs12 v0.7.4 // truststores for Java, without a keytool
)

require (
	github.com/Microsoft/go-winio v0.6.2 // indirect
	github.com/containerd/errdefs/pkg v0.3.0 // indirect
	github.com/distribution/reference v0.6.0 // indirect
	github.com/docker/go-connections v0.8.2 // indirect
	github.com/docker/go-units v0.5.0 // indirect
	github.com/dustin/go-humanize v1.1.0 // indirect
	github.com/felixge/httpsnoop v1.0.4 // indirect
	github.com/go-logr/logr v1.4.2 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/mdlayher/netlink v1.7.3-0.20250113171957-fbb4dce95f42 // indirect
	github.com/mdlayher/socket v0.5.0 // indirect
	github.com/moby/docker-image-spec v1.3.1 // indirect
	github.com/ncruces/go-strftime v1.1.0 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	go.opentelemetry.io/auto/sdk v1.1.0 // indirect
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.60.0 // indirect
	go.opentelemetry.io/otel v1.35.0 // indirect
	go.opentelemetry.io/otel/metric v1.35.0 // indirect
	go.opentelemetry.io/otel/trace v1.35.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/tools v0.52.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20250324211829-b45e905df463 // indirect
	google.golang.org/protobuf v1.36.6 // indirect
	kernel.org/pub/linux/libs/security/libcap/psx v1.2.77 // indirect
	modernc.org/libc v1.80.1 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)

replace github.com/distribution/reference => ./third_party/reference // docs/adr/0009-a-quick-start-with-the-docker-client.md
