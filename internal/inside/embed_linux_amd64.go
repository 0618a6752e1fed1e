package inside

import "embed"

//go:embed all:programs/linux-amd64
var programs embed.FS

const platform = "linux-amd64"
