package agent

// ManagedSettings lets tests wire the hooks of a CLI outside any sandbox.
var ManagedSettings = managedSettings
