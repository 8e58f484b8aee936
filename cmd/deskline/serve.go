package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
)

func (c *cli) serve() *cobra.Command {
	return c.withFile(&cobra.Command{
		Use:   "serve",
		Short: "Run a node",
		Long: `Run a node until SIGINT or SIGTERM, which end it in good order.

Without a file the demo node runs: domain localhost, users alice, bob, carol and
dave, data in ./data, http://localhost:5280/.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configs.Load(c.file)
			if err != nil {
				return err
			}
			log, level := cfg.Log.New(c.errOut)
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			// A second signal ends the process at once.
			defer context.AfterFunc(ctx, stop)()
			return app.Run(ctx, app.Options{Config: cfg, File: c.file, Log: log, Level: level})
		},
	})
}
