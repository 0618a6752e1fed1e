package native

import (
	"errors"

	"golang.org/x/sys/unix"
)

// hintFor is the way out of a failed step of the set-up.
func hintFor(step string, err error) string {
	denied := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
	switch {
	case step == stepOverlay:
		return "the workspace falls back to a plain checkout where overlays cannot be had"
	case sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1" && denied:
		return appArmorProfile()
	case step == "private mounts" && denied, step == "identity" && denied:
		return "a security module takes the capabilities of new user namespaces away: " + appArmorProfile()
	case step == "mounts" && denied:
		return "/proc may be covered, as in a container: run that with --security-opt systempaths=unconfined, or use the docker runtime"
	case errors.Is(err, unix.ENOSYS):
		return "the kernel is too old: 5.12 or later is needed; use the docker runtime"
	default:
		return "run doctor: it names the step that fails and the fix"
	}
}
