package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
)

func (c *cli) store() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look after the store",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(c.withFile(c.withJSON(c.storeCopy())))
	return cmd
}

func (c *cli) storeCopy() *cobra.Command {
	var o app.CopyOptions
	cmd := &cobra.Command{
		Use:   "copy --from STORE --to STORE",
		Short: "Move everything from one store to another, and verify it",
		Long: `Copy all accounts with their contacts, messages and all else, the server's own
values and sessions written down from one store to another, then compare counts
and checksums of both. Stop the nodes first. A copy that was cut short goes on
when it is called again; until it has come to its end no node serves the target.

STORE is sqlite or redis, as the configuration has it, or sqlite:FILE or
redis://HOST:PORT/DB with all else from the configuration.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.From == "" || o.To == "" {
				return usage("--from and --to are needed, such as --from sqlite --to redis")
			}
			cfg, err := configs.Load(c.file)
			if err != nil {
				return err
			}
			o.Progress = c.copyProgress()
			sums, err := app.CopyStore(cmd.Context(), cfg, o)
			if err != nil {
				return err
			}
			return c.print(sums, func(w *table) {
				for _, s := range sums {
					w.row("copied", fmt.Sprint(s.Count), s.Kind, "sha256 "+s.SHA[:16])
				}
			})
		},
	}
	cmd.Flags().StringVar(&o.From, "from", "", "the store to copy")
	cmd.Flags().StringVar(&o.To, "to", "", "the store to copy to")
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "remove the accounts that the target has")
	cmd.Flags().BoolVar(&o.Force, "force", false, "copy although nodes use the stores")
	return cmd
}

// copyProgress shows how far a copy is, if there is a terminal to show it on.
func (c *cli) copyProgress() func(done, total int, verify bool) {
	if _, ok := terminal(c.errOut); !ok {
		return nil
	}
	var last time.Time
	return func(done, total int, verify bool) {
		word := "copied"
		if verify {
			word = "compared"
		}
		if now := time.Now(); done == total || now.Sub(last) >= 100*time.Millisecond {
			last = now
			fmt.Fprintf(c.errOut, "\r\033[K%d of %d accounts %s", done, total, word)
		}
		if done == total && verify {
			fmt.Fprint(c.errOut, "\r\033[K")
		}
	}
}
