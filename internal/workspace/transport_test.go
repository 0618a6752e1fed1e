package workspace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
)

// A server that lists refs without an end is cut off before a client makes
// files of them; what was asked for is only bounded as a whole.
func TestTransferBoundsWhatIsListed(t *testing.T) {
	t.Parallel()
	const more = 3 * maxListed
	for _, tt := range []struct {
		name  string
		ask   string
		limit int64
		want  error
	}{
		{"nothing is asked", "", 1 << 30, errRefs},
		{"something else is asked", "0014command=ls-refs\n", 1 << 30, errRefs},
		{"it is asked for", "0032want 1111111111111111111111111111111111111111\n", 1 << 30, nil},
		{"too much is asked for", "0032want 1111111111111111111111111111111111111111\n", 1 << 20, errTooMuch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := 0
			tr := &transfer{
				limit: tt.limit,
				serve: func(_ context.Context, conn *os.File) error {
					if _, err := io.ReadFull(conn, make([]byte, len(tt.ask))); err != nil {
						return err
					}
					_, err := conn.Write(bytes.Repeat([]byte{'x'}, more))
					return err
				},
				fetch: func(_ context.Context, conn *os.File) error {
					if _, err := conn.WriteString(tt.ask); err != nil {
						return err
					}
					data, err := io.ReadAll(io.LimitReader(conn, more))
					got = len(data)
					return err
				},
			}
			if err := tr.run(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("it ended with %v, want %v", err, tt.want)
			}
			if tt.want == nil && got != more {
				t.Errorf("%d bytes came, want %d", got, more)
			}
		})
	}
}
