package main

import (
	"bytes"
	"encoding/csv"
	"errors"
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
	Made   []made `json:"made,omitempty"`
}

// made is what the file did not have.
type made struct {
	User     string `json:"user"`
	JID      string `json:"jid"`
	Password string `json:"password,omitempty"` // shown if it is not in a file
}

func (c *cli) userImport() *cobra.Command {
	var domain, passwords string
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Add the users of a CSV file, all or none",
		Long: `Add the users of a CSV file, or of standard input for -, all or none. The columns
are user, password, name, email, groups and company, of which the last four may be
absent; groups are separated by semicolons. A first line with these words puts the
columns in another order. What addresses are made of, and what becomes of a name
that is there already, is said by users.jid and users.duplicates. With --passwords,
users without a password are given one, which is shown this one time.`,
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
				result := imported{Domain: domain}
				o := auth.ImportOptions{Progress: c.progress(), Pattern: a.cfg.Users.JID, Increment: a.cfg.Users.Duplicates == "increment"}
				written := false
				if passwords != "" || o.Increment || o.Pattern != "{login}" {
					o.Assigned = func(list []auth.Assigned) (err error) {
						result.Made, written, err = keepPasswords(passwords, list)
						return err
					}
				}
				result.Users, err = a.service.Import(cmd.Context(), in, domain, o)
				if err != nil {
					if written {
						err = errors.Join(err, os.Remove(passwords))
					}
					return fmt.Errorf("nothing was imported from %s:\n%w", args[0], err)
				}
				return c.print(result, func(w *table) {
					for _, m := range result.Made {
						w.row(m.User, m.JID, m.Password)
					}
					w.row(fmt.Sprintf("%d users imported into %s", result.Users, domain))
				})
			})
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "domain of the users (default the first)")
	cmd.Flags().StringVar(&passwords, "passwords", "", "give users without a password one, and write these to a new `file`, or - for the output")
	return cmd
}

// keepPasswords writes passwords that were made to a new file for its owner alone,
// or has them shown.
func keepPasswords(file string, list []auth.Assigned) (all []made, written bool, err error) {
	var text bytes.Buffer
	lines := csv.NewWriter(&text)
	for _, a := range list {
		m := made{User: a.Login, JID: a.JID.String()}
		switch {
		case a.Password != "" && file == "":
			return nil, false, fmt.Errorf("user %s has no password; --passwords makes one", a.Login)
		case file == "-":
			m.Password = a.Password
		case a.Password != "":
			_ = lines.Write([]string{m.JID, a.Password}) // Error tells
		}
		if m.Password != "" || a.JID.Local() != a.Login {
			all = append(all, m)
		}
	}
	lines.Flush()
	if file == "" || file == "-" {
		return all, false, nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("write passwords: %w", err)
	}
	_, err = f.Write(text.Bytes())
	return all, true, errors.Join(lines.Error(), err, f.Sync(), f.Close())
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
