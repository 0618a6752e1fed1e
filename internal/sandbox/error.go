package sandbox

import "errors"

// Code is the kind of an error, as a person or a script tells it apart.
type Code string

// The codes there are; ExitStatus maps them.
const (
	CodeInternal   Code = "internal"
	CodeUsage      Code = "usage"
	CodeRuntime    Code = "runtime-unusable"
	CodeCredential Code = "credential"
	CodeNameInUse  Code = "name-in-use"
	CodeRepository Code = "repository"
	CodeNotFound   Code = "not-found"
	CodePolicy     Code = "policy-invalid"
	CodeProof      Code = "proof-failed"
	CodeBusy       Code = "agent-running"
	CodeAgent      Code = "agent-unavailable"
	CodeConflict   Code = "conflict"
)

// Error is an error with a code, and a hint that says what to do next.
type Error struct {
	Code Code
	Hint string
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Fail makes an Error.
func Fail(code Code, err error, hint string) error {
	return &Error{Code: code, Err: err, Hint: hint}
}

// ErrorCode is the code of the outermost Error in err's chain, CodeInternal
// when there is none, and empty for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// ErrorHint is the hint of the outermost Error in err's chain.
func ErrorHint(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint
	}
	return ""
}

// ExitStatus is the process exit status for an error.
func ExitStatus(err error) int {
	switch ErrorCode(err) {
	case "":
		return 0
	case CodeUsage:
		return 2
	case CodeRuntime:
		return 10
	case CodeCredential:
		return 11
	case CodeNameInUse:
		return 12
	case CodeRepository:
		return 13
	case CodeNotFound:
		return 14
	case CodePolicy:
		return 15
	case CodeProof:
		return 16
	case CodeBusy:
		return 17
	case CodeAgent:
		return 18
	case CodeConflict:
		return 19
	default:
		return 1
	}
}
