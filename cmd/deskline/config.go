package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/configs"
)

func (c *cli) config() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show the configuration", Args: cobra.ArbitraryArgs, RunE: group}
	cmd.AddCommand(
		c.withFile(c.withJSON(&cobra.Command{
			Use:   "print",
			Short: "Print every key and its value, from the file, the environment and the defaults; secrets as ***",
			Args:  exactly(),
			RunE: func(*cobra.Command, []string) error {
				cfg, err := configs.Load(c.file)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(cfg)
				}
				return cfg.Print(c.out)
			},
		})),
		c.withJSON(&cobra.Command{
			Use:   "default",
			Short: "Print the default file with a comment on every key",
			Args:  exactly(),
			RunE: func(*cobra.Command, []string) error {
				if c.json {
					return c.printJSON(configs.Default())
				}
				_, err := io.WriteString(c.out, configs.DefaultYAML)
				return err
			},
		}),
	)
	return cmd
}
