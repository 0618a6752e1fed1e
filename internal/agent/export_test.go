package agent

import "encoding/json"

// What tests outside the package look at.
var (
	// ManagedSettings wires the hooks of a CLI outside any sandbox.
	ManagedSettings = func(command string) ([]byte, error) {
		return json.Marshal(managedSettings(command, "/home/agent", project{}))
	}
	// PackageName is the npm package for this machine.
	PackageName = packageName
)
