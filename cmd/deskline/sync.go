package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/admin"
)

func (c *cli) userSync() *cobra.Command {
	var in admin.SyncRequest
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Let new people and groups into chat, and say what is new",
		Long: `Let all people and groups that the local accounts and the directory tell of into
chat, and say what is new since it was done last. With groups.sync: manual new ones
cannot use chat before. Doing it again does no harm. The node that runs on this
machine does it, for all nodes.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r admin.SyncResult
			if err := c.request(cmd.Context(), http.MethodPost, "/people/sync", in, &r); err != nil {
				return err
			}
			return c.print(r, func(w *table) {
				for _, x := range []struct {
					word string
					list []string
				}{{"added", r.Added}, {"changed", r.Changed}, {"group added", r.Groups}} {
					for _, name := range x.list {
						w.row(x.word, name)
					}
				}
				text := fmt.Sprintf("%d added, %d changed, %d gone, %d groups added; %d people", len(r.Added), len(r.Changed), r.Gone, len(r.Groups), r.People)
				if r.DryRun {
					text += "; nothing was changed"
				}
				w.row(strings.TrimSpace(text))
			})
		},
	}
	cmd.Flags().BoolVarP(&in.DryRun, "dry-run", "n", false, "say what would be done")
	cmd.Flags().StringVar(&c.admin, "admin", "", "address of the node's admin port (without: admin.listen of the configuration)")
	return cmd
}
