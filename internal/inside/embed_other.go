//go:build !linux || (!amd64 && !arm64)

package inside

import "embed"

var programs embed.FS

const platform = "none"
