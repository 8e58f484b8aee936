package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
)

// checked is the result of one check for --json.
type checked struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail,omitempty"`
	Warning string `json:"warning,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (c *cli) check() *cobra.Command {
	return c.withFile(c.withJSON(&cobra.Command{
		Use:   "check",
		Short: "Check the configuration and what it names",
		Long: `Check the configuration, then the store, certificates and addresses it
names: one line each, exit code 1 if any fails; what works but is not safe has a
line of its own that begins with warn. A node that runs already holds
the addresses.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configs.Load(c.file)
			results := []app.CheckResult{{Name: "config", Err: err, Detail: c.fileName()}}
			if err == nil {
				results = append(results, app.Check(cmd.Context(), cfg)...)
			}
			return c.printChecks(results)
		},
	}))
}

func (c *cli) fileName() string {
	if c.file == "" {
		return "the demo"
	}
	return c.file
}

func (c *cli) printChecks(results []app.CheckResult) error {
	list := make([]checked, len(results))
	failed := false
	for i, r := range results {
		list[i] = checked{Name: r.Name, OK: r.Err == nil, Detail: r.Detail, Warning: r.Warning}
		if r.Err != nil {
			list[i].Error = r.Err.Error()
			failed = true
		}
	}
	if err := c.print(list, func(w *table) {
		for _, r := range list {
			if r.OK {
				w.row("ok", r.Name, r.Detail)
			} else {
				w.row("FAIL", r.Name, r.Error)
			}
			if r.Warning != "" {
				w.row("warn", r.Name, r.Warning)
			}
		}
	}); err != nil {
		return fmt.Errorf("print checks: %w", err)
	}
	if failed {
		return errSilent
	}
	return nil
}
