package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/configs"
)

// page is how many accounts are read at a time.
const page = 500

// user is an account as it is shown.
type user struct {
	JID      string    `json:"jid"`
	Name     string    `json:"name"`
	Email    string    `json:"email"`
	Groups   []string  `json:"groups"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
	Keys     []string  `json:"keys"` // mechanisms with keys
}

func show(a auth.Account) user {
	groups := a.Groups
	if groups == nil {
		groups = []string{}
	}
	return user{
		JID: a.JID.String(), Name: a.Name, Email: a.Email, Groups: groups, Disabled: a.Disabled,
		Created: a.Created, Changed: a.Changed, Keys: slices.Sorted(maps.Keys(a.Keys)),
	}
}

// done tells of a change.
type done struct {
	JID  string `json:"jid"`
	Done string `json:"done"`
}

func (c *cli) user() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Look after local accounts",
		Long: `Look after local accounts, whether the node runs or not. USER is alice, of the
first domain, or alice@example.com.`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	for _, sub := range []*cobra.Command{c.userAdd(), c.userPasswd(), c.userShow(), c.userDelete(), c.userList(), c.userImport(), c.userSync()} {
		cmd.AddCommand(c.withFile(c.withJSON(sub)))
	}
	return cmd
}

func (c *cli) userAdd() *cobra.Command {
	var details auth.Account
	var stdin bool
	cmd := &cobra.Command{
		Use:   "add USER",
		Short: "Add a user; the password is asked for",
		Args:  exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd.Context(), args[0], "added", true, func(a *accounts, account auth.Account) error {
				details.JID = account.JID
				if _, err := a.store.Account(cmd.Context(), details.JID); err == nil {
					return auth.ErrExists // before a password is asked for
				}
				password, err := c.newPassword(stdin, details.JID)
				if err != nil {
					return err
				}
				return a.service.Create(cmd.Context(), details, password)
			})
		},
	}
	cmd.Flags().StringVar(&details.Name, "name", "", "name shown to others")
	cmd.Flags().StringVar(&details.Email, "email", "", "email address")
	cmd.Flags().StringSliceVar(&details.Groups, "group", nil, "group, may be repeated")
	stdinFlag(cmd, &stdin)
	return cmd
}

func (c *cli) userPasswd() *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:   "passwd USER",
		Short: "Change a password",
		Args:  exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd.Context(), args[0], "password changed", false, func(a *accounts, account auth.Account) error {
				password, err := c.newPassword(stdin, account.JID)
				if err != nil {
					return err
				}
				return a.service.SetPassword(cmd.Context(), account.JID, password)
			})
		},
	}
	stdinFlag(cmd, &stdin)
	return cmd
}

func (c *cli) userDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete USER",
		Short: "Delete a user with roster, messages and all else; asks first",
		Args:  exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd.Context(), args[0], "deleted", false, func(a *accounts, account auth.Account) error {
				if err := c.confirm(yes, fmt.Sprintf("Delete %s and everything of that user?", account.JID)); err != nil {
					return err
				}
				return a.service.Delete(cmd.Context(), account.JID)
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// change does something to a user, who is there unless create is set, and says
// that it is done.
func (c *cli) change(ctx context.Context, name, word string, create bool, act func(*accounts, auth.Account) error) error {
	return c.withAccounts(ctx, create, func(a *accounts) error {
		j, err := a.jid(name)
		if err != nil {
			return err
		}
		if inDirectory(a.cfg, j.Domain()) && word != "deleted" {
			return fmt.Errorf("people of %s are in the directory, see ldap.domains", j.Domain())
		}
		account := auth.Account{JID: j}
		if !create {
			if account, err = a.store.Account(ctx, j); err != nil {
				return explain(j, err)
			}
		}
		if err := act(a, account); err != nil {
			return explain(j, err)
		}
		result := done{j.String(), word}
		return c.print(result, func(w *table) { w.row(result.JID + " " + result.Done) })
	})
}

// confirm asks on the terminal.
func (c *cli) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if _, ok := terminal(c.in); !ok {
		return usage("there is no terminal to ask on, add --yes")
	}
	fmt.Fprintf(c.errOut, "%s [y/N] ", question)
	answer, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return fmt.Errorf("nothing was deleted")
	}
	return nil
}

func (c *cli) userShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show USER",
		Short: "Show a user; of the directory, also why chat is enabled or not",
		Args:  exactly("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := configs.Load(c.file)
			if err != nil {
				return err
			}
			beside := &accounts{cfg: cfg}
			if j, err := beside.jid(args[0]); err == nil && inDirectory(cfg, j.Domain()) {
				return c.showPerson(cmd.Context(), cfg, j) // there may be no store yet
			}
			return c.withAccounts(cmd.Context(), false, func(a *accounts) error {
				j, err := a.jid(args[0])
				if err != nil {
					return err
				}
				account, err := a.store.Account(cmd.Context(), j)
				if err != nil {
					return explain(j, err)
				}
				u := show(account)
				return c.print(u, func(w *table) {
					w.row("user", u.JID)
					w.row("name", u.Name)
					w.row("email", u.Email)
					w.row("groups", strings.Join(u.Groups, ", "))
					w.row("disabled", fmt.Sprint(u.Disabled))
					w.row("keys", strings.Join(u.Keys, ", "))
					w.row("created", u.Created.Format(time.RFC3339))
					w.row("changed", u.Changed.Format(time.RFC3339))
				})
			})
		},
	}
}

func (c *cli) userList() *cobra.Command {
	var domain string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAccounts(cmd.Context(), false, func(a *accounts) error {
				users, err := a.list(cmd.Context(), domain)
				if err != nil {
					return err
				}
				return c.print(users, func(w *table) {
					for _, u := range users {
						w.row(u.JID, u.Name, u.Email, strings.Join(u.Groups, ", "))
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "of this domain only")
	return cmd
}

// list returns the users of a domain or, if it is empty, of all.
func (a *accounts) list(ctx context.Context, domain string) ([]user, error) {
	domains := a.cfg.Domains
	if domain != "" {
		if err := a.served(domain); err != nil {
			return nil, err
		}
		domains = []string{domain}
	}
	users := []user{}
	for _, d := range domains {
		for after, more := "", true; more; {
			batch, err := a.store.ListAccounts(ctx, d, after, page)
			if err != nil {
				return nil, fmt.Errorf("list users of %s: %w", d, err)
			}
			for _, account := range batch {
				users = append(users, show(account))
				after = account.JID.Local()
			}
			more = len(batch) == page
		}
	}
	return users, nil
}
