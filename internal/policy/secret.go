package policy

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what a Secret looks like wherever it is printed.
const redacted = "[secret]"

// Secret is a credential. It prints, logs and marshals as "[secret]"; only
// Reveal gives its value. The value stands behind a pointer because fmt prints
// unexported fields of foreign structs without asking their methods.
type Secret struct{ value *string }

// NewSecret wraps a credential's value.
func NewSecret(value string) Secret { return Secret{value: &value} }

// Reveal gives the value, for the one place that puts it on the wire.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Empty reports whether there is no value.
func (s Secret) Empty() bool { return s.Reveal() == "" }

// Equal reports whether two are the same.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// String implements fmt.Stringer.
func (s Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return redacted }

// Format implements fmt.Formatter: every verb, also those that would look past
// String, gives the same.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // fmt reports its writer's errors itself
}

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements json.Marshaler.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
