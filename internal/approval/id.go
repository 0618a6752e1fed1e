package approval

import "crypto/rand"

const (
	idPrefix = "q-"
	idLength = 5
	// idAlphabet has no characters that look like others.
	idAlphabet = "23456789abcdefghjkmnpqrstvwxyz"
)

// newID makes an id that is short enough to type; a Book says when it is taken.
func newID() string {
	random := make([]byte, idLength)
	_, _ = rand.Read(random) // never fails, as its documentation says
	for i, b := range random {
		random[i] = idAlphabet[int(b)%len(idAlphabet)]
	}
	return idPrefix + string(random)
}
