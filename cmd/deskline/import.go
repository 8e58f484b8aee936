package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/auth"
)

// imported tells how an import went.
type imported struct {
	Domain string `json:"domain"`
	Users  int    `json:"imported"`
}

func (c *cli) userImport() *cobra.Command {
	var domain string
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Add the users of a CSV file, all or none",
		Long: `Add the users of a CSV file, or of standard input for -, all or none. The columns
are user, password, name, email and groups, of which the last three may be absent;
groups are separated by semicolons. A first line with these words puts the
columns in another order.`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withAccounts(cmd.Context(), true, func(a *accounts) error {
				if domain == "" {
					domain = a.cfg.Domains[0]
				}
				if err := a.served(domain); err != nil {
					return err
				}
				in, err := c.open(args[0])
				if err != nil {
					return err
				}
				defer in.Close() // read only
				n, err := a.service.Import(cmd.Context(), in, domain, auth.ImportOptions{Progress: c.progress()})
				if err != nil {
					return fmt.Errorf("nothing was imported from %s:\n%w", args[0], err)
				}
				result := imported{domain, n}
				return c.print(result, func(w *table) { w.row(fmt.Sprintf("%d users imported into %s", n, domain)) })
			})
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "domain of the users (default the first)")
	return cmd
}

func (c *cli) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(c.in), nil
	}
	return os.Open(name)
}

// progress shows how far an import is, if there is a terminal to show it on.
func (c *cli) progress() func(done, total int) {
	if _, ok := terminal(c.errOut); !ok {
		return nil
	}
	var last time.Time
	return func(done, total int) {
		if now := time.Now(); done == total || now.Sub(last) >= 100*time.Millisecond {
			last = now
			fmt.Fprintf(c.errOut, "\r\033[K%d of %d users", done, total)
		}
		if done == total {
			fmt.Fprint(c.errOut, "\r\033[K")
		}
	}
}
