package config

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"agentprocess/internal/inspect"
)

// importTable is the table of what is done about what agents' commits bring.
const importTable = "import."

// importSettings are the keys of that table: one for each kind of risk, the
// size of a large file, and the globs of files that may hold secrets.
func importSettings() []setting {
	var list []setting
	for _, kind := range inspect.Kinds() {
		list = append(list, setting{importTable + string(kind), func(c *Config, v value) error {
			var word string
			if err := v.oneOf(&word, string(inspect.Flag), string(inspect.Hold), string(inspect.Refuse)); err != nil {
				return err
			}
			if c.Import.Actions == nil {
				c.Import.Actions = map[inspect.Kind]inspect.Action{}
			}
			c.Import.Actions[kind] = inspect.Action(word)
			return nil
		}})
	}
	return append(list,
		setting{importTable + "max-file", func(c *Config, v value) error { return v.size(&c.Import.MaxFile) }},
		setting{importTable + "allow-secrets", func(c *Config, v value) error { return v.globs(&c.Import.Allow) }},
	)
}

// globs takes a list of globs of paths.
func (v value) globs(to *[]string) error {
	if err := v.expect(unstable.Array, `a list such as ["testdata/**"]`); err != nil {
		return err
	}
	var list []string
	for _, item := range v.items {
		var s string
		if err := item.str(&s); err != nil {
			return err
		}
		if err := inspect.CheckAllow(s); err != nil {
			return err
		}
		list = append(list, s)
	}
	*to = list
	return nil
}

// ParseImport reads a project's own file, which has the keys of the table alone
// and without its name. A project only narrows, and so may not say which files
// may hold secrets.
func ParseImport(name string, data []byte) (inspect.Policy, FileErrors) {
	var list []setting
	for _, s := range importSettings() {
		s.key = strings.TrimPrefix(s.key, importTable)
		if s.key == "allow-secrets" {
			s.set = func(*Config, value) error {
				return fmt.Errorf("is not a project's to say: set %sallow-secrets in your own config.toml", importTable)
			}
		}
		list = append(list, s)
	}
	cfg, problems := parseWith(list, name, data)
	return cfg.Import, problems
}

// hasTable reports whether some key is in a table.
func hasTable(known map[string]setting, table string) bool {
	for key := range known {
		if strings.HasPrefix(key, table) {
			return true
		}
	}
	return false
}
