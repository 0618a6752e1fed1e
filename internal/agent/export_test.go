package agent

// What tests outside the package look at.
var (
	// ManagedSettings wires the hooks of a CLI outside any sandbox.
	ManagedSettings = managedSettings
	// PackageName is the npm package for this machine.
	PackageName = packageName
)
