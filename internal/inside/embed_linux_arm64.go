package inside

import "embed"

//go:embed all:programs/linux-arm64
var programs embed.FS

const platform = "linux-arm64"
