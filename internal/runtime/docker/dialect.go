package docker

import "agentprocess/internal/sandbox"

// dialect is what one engine says differently from the other.
type dialect struct {
	// install is what to do on a machine that lacks the engine.
	install string
	// runs is how to see whether it runs.
	runs string
	// get is how to get an image.
	get string
	// userns is the user namespace in which the person's id is the same inside,
	// when the engine runs as that person.
	userns func(id sandbox.Identity) string
	// logs is the log driver that keeps nothing.
	logs string
	// profileFile says that the API takes the name of a file with the seccomp
	// profile, instead of the profile.
	profileFile bool
	// maskOption says that masked paths are a security option; a list of them
	// is ignored.
	maskOption bool
	// ownVolumes says that it makes volumes with options only by themselves, with
	// a name, and gives them to the container's first user, so that PID 1 has to
	// give them back. A bind with options is none of these.
	ownVolumes bool
	// joinsByPath says that a build joins a network namespace by its path.
	joinsByPath bool
	// badTarget are characters that its API cannot have in a mount's paths.
	badTarget string
	// boundFiles says that its default for open files may be more than its
	// machine allows.
	boundFiles bool
}

func dialects() map[Kind]dialect {
	return map[Kind]dialect{
		Docker: {
			install: "install Docker (Debian: apt-get install docker.io), or use another --runtime",
			runs:    "docker info", get: "docker pull",
			userns: func(sandbox.Identity) string { return "" },
			logs:   "none",
		},
		Podman: {
			install: "install Podman (Debian: apt-get install podman) and start its API: systemctl --user start podman.socket",
			runs:    "podman info", get: "podman pull",
			userns: func(sandbox.Identity) string { return "keep-id" },
			logs:   "none", profileFile: true, maskOption: true, ownVolumes: true, joinsByPath: true, badTarget: ",\"", boundFiles: true,
		},
	}
}
