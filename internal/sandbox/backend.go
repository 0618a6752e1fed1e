package sandbox

// Backend says what makes the sandboxes of a run.
type Backend struct {
	// Runtime is "native", "docker" or "podman"; "auto" or empty leaves it to
	// what works.
	Runtime string `json:"runtime,omitempty"`
	// Image is the root of its sandboxes, for runtimes that take one.
	Image string `json:"image,omitempty"`
	// OCIRuntime is the engine's own runtime to use, such as runsc; empty is its
	// default.
	OCIRuntime string `json:"oci_runtime,omitempty"`
}

// RuntimeAuto leaves the choice to what works.
const RuntimeAuto = "auto"
