package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// result is what came of one script; the tests read it.
type result struct {
	Name   string `json:"name"`
	Exit   int    `json:"exit"`
	Output string `json:"output"`
	Millis int64  `json:"ms"`
}

const (
	scriptTime = 30 * time.Second
	mostOutput = 1200 // of one script: a recorded line has a bound
)

// batch runs scripts one after another.
func batch(ctx context.Context, args []string) error {
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var scripts []struct{ Name, Run string }
	if err := json.Unmarshal(data, &scripts); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for _, s := range scripts {
		if err := out.Encode(try(ctx, s.Name, s.Run)); err != nil {
			return err
		}
	}
	return nil
}

func try(ctx context.Context, name, script string) result {
	ctx, cancel := context.WithTimeout(ctx, scriptTime)
	defer cancel()
	var buf bytes.Buffer
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = &buf, &buf
	cmd.WaitDelay = time.Second
	begin := time.Now()
	err := cmd.Run()
	r := result{Name: name, Millis: time.Since(begin).Milliseconds()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		r.Exit = exit.ExitCode()
	} else if err != nil {
		r.Exit = -1
		fmt.Fprintln(&buf, err)
	}
	text := strings.TrimSpace(strings.ToValidUTF8(buf.String(), "?"))
	if len(text) > mostOutput {
		text = strings.ToValidUTF8(text[:mostOutput], "?") + "..."
	}
	r.Output = text
	return r
}
