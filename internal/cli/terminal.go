package cli

import (
	"errors"
	"fmt"
	"os"

	xterm "golang.org/x/term"

	"agentprocess/internal/sandbox"
	"agentprocess/internal/term"
)

// progress tells what takes long before there is a record of it.
func (d *deps) progress(what string) {
	fmt.Fprintf(d.streams.Err, "agent-process: %s\n", term.Visible(what))
}

// rawTerminal hands the person's terminal to a program: every key goes to it.
func (d *deps) rawTerminal() (sandbox.TTY, func() error, error) {
	in, ok := d.streams.In.(*os.File)
	if !ok {
		return sandbox.TTY{}, nil, errors.New("standard input is no terminal")
	}
	fd := int(in.Fd())
	cols, rows, err := xterm.GetSize(fd)
	if err != nil {
		return sandbox.TTY{}, nil, fmt.Errorf("size of the terminal: %w", err)
	}
	state, err := xterm.MakeRaw(fd)
	if err != nil {
		return sandbox.TTY{}, nil, fmt.Errorf("take the terminal: %w", err)
	}
	return sandbox.TTY{Rows: cells(rows), Cols: cells(cols)}, func() error { return xterm.Restore(fd, state) }, nil
}

// cells is a number of rows or columns as a terminal holds it.
func cells(n int) uint16 { return uint16(min(max(n, 1), 1<<15)) }
