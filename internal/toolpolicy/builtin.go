package toolpolicy

import _ "embed"

// BuiltinSource is the Source of the built-in rules.
const BuiltinSource = "built-in"

//go:embed builtin.toml
var builtinText []byte

// Builtin is the layer of rules that hold in every run unless they are
// disabled. They are in the language of all policies, in builtin.toml.
func Builtin() *Layer {
	l, err := Parse(BuiltinSource, builtinText)
	if err != nil {
		// Part of the program, and tested: a program without it must not run.
		return &Layer{source: BuiltinSource, broken: err}
	}
	return l
}
