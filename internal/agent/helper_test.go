package agent_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The test binary is also the programs that tests put beside the CLI.
const (
	withEtcArg = "with-etc-for-tests"
	recordArg  = "record-hook-for-tests"
	serverArg  = "mcp-server-for-tests"
)

// cannotMount is how withEtc says that this machine does not let it.
const cannotMount = 97

func helpers() map[string]func(args []string) int {
	return map[string]func([]string) int{withEtcArg: withEtc, recordArg: recordHook, serverArg: serveMCP}
}

// withEtc runs a program in a mount namespace where the directory args[0] lies
// over /etc: there the managed settings are where they are inside a sandbox.
func withEtc(args []string) int {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("overlay", "/etc", "overlay", unix.MS_RDONLY, "lowerdir="+args[0]+":/etc")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mount over /etc:", err)
		return cannotMount
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "drop capabilities:", err)
		return 1
	}
	fmt.Fprintln(os.Stderr, unix.Exec(args[1], args[1:], os.Environ()))
	return 1
}

// recordHook is a hook that keeps what it is told in the directory args[0].
func recordHook(args []string) int {
	f, err := os.CreateTemp(args[0], "hook-*.json")
	if err != nil {
		return 2
	}
	if _, err := io.Copy(f, os.Stdin); err != nil || f.Close() != nil {
		return 2
	}
	return 0
}

// serveMCP is an MCP server with one tool, "mark", that makes a file in the
// directory args[0].
func serveMCP(args []string) int {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var q struct {
			ID     json.RawMessage
			Method string
			Params struct{ ProtocolVersion string }
		}
		if json.Unmarshal(in.Bytes(), &q) != nil || q.ID == nil {
			continue
		}
		result := map[string]any{}
		switch q.Method {
		case "initialize":
			result = map[string]any{
				"protocolVersion": q.Params.ProtocolVersion, "capabilities": map[string]any{"tools": map[string]any{}},
				"serverInfo": map[string]any{"name": "test", "version": "1"},
			}
		case "tools/list":
			result["tools"] = []any{map[string]any{"name": "mark", "description": "makes a mark", "inputSchema": map[string]any{"type": "object"}}}
		case "tools/call":
			if os.WriteFile(filepath.Join(args[0], "mcp-call"), nil, 0o644) != nil {
				return 1
			}
			result["content"] = []any{map[string]any{"type": "text", "text": "marked"}}
		}
		if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"jsonrpc": "2.0", "id": q.ID, "result": result}); err != nil {
			return 1
		}
	}
	return 0
}
