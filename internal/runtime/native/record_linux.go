package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// writeRecord writes the list of directories, whole or not at all.
func writeRecord(name string, dirs []string) error {
	data, err := json.Marshal(dirs)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".record-*")
	if err != nil {
		return fmt.Errorf("record cgroups: %w", err)
	}
	_, werr := f.Write(data)
	if err := errors.Join(werr, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("record cgroups: %w", err), os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), name)
}

// readRecord reads what writeRecord wrote. Names that are not base are left
// out: a damaged record must not remove other directories.
func readRecord(name, base string) ([]string, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record of cgroups: %w", err)
	}
	var all, dirs []string
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("read record of cgroups %q: %w", name, err)
	}
	for _, d := range all {
		if filepath.IsAbs(d) && filepath.Base(d) == base {
			dirs = append(dirs, d)
		}
	}
	return dirs, nil
}
