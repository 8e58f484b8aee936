package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

func (c *cli) groupDelete() *cobra.Command {
	var yes bool
	var domain string
	cmd := tenantFlag(&cobra.Command{
		Use:   "delete GROUP",
		Short: "Delete a group and take its local members out; asks first",
		Args:  exactly("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeGroup(cmd.Context(), args[0], domain, "deleted", func(a *accounts, r people.Record) error {
				if err := c.confirm(yes, fmt.Sprintf("Delete the group %s?", r.Name)); err != nil {
					return err
				}
				return a.deleteGroup(cmd.Context(), r)
			})
		},
	}, &domain)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// deleteGroup takes a record out and, if it is not that of one tenant, the group
// from all accounts.
func (a *accounts) deleteGroup(ctx context.Context, r people.Record) error {
	err := a.store.DeleteGroupRecord(ctx, r)
	there := !errors.Is(err, people.ErrNoGroup)
	if err != nil && there {
		return err
	}
	if r.Domain == "" {
		users, err := a.list(ctx, "")
		if err != nil {
			return err
		}
		for _, u := range users {
			if !slices.ContainsFunc(u.Groups, func(g string) bool { return people.GroupKey(g) == people.GroupKey(r.Name) }) {
				continue
			}
			there = true
			if err := a.setMember(ctx, jid.MustParse(u.JID), r.Name, false); err != nil {
				return err
			}
		}
	}
	if !there {
		return fmt.Errorf("there is no group %q here; deskline group list shows them", r.Name)
	}
	return nil
}

func (c *cli) groupMember(add bool) *cobra.Command {
	word, short, done := "remove", "Take local users out of a group", "out of the group"
	if add {
		word, short, done = "add", "Put local users into a group", "in the group"
	}
	return &cobra.Command{
		Use:   word + " GROUP USER...",
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactly("GROUP", "USER")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withAccounts(cmd.Context(), false, func(a *accounts) error {
				r, err := a.record(cmd.Context(), args[0], "")
				if err != nil {
					return err
				}
				var users []jid.JID
				for _, name := range args[1:] {
					j, err := a.jid(name)
					if err == nil {
						_, err = a.store.Account(cmd.Context(), j)
					}
					if err != nil {
						return explain(j, err)
					}
					users = append(users, j)
				}
				result := named{Group: r.Name, Done: done}
				for _, j := range users {
					if err := a.setMember(cmd.Context(), j, r.Name, add); err != nil {
						return err
					}
					result.Users = append(result.Users, j.String())
				}
				return c.print(result, func(w *table) { w.row(strings.Join(result.Users, ", ") + " " + done + " " + r.Name) })
			})
		},
	}
}

// setMember puts a local account into a group or takes it out.
func (a *accounts) setMember(ctx context.Context, j jid.JID, name string, in bool) error {
	key := people.GroupKey(name)
	return a.service.Update(ctx, j, func(account *auth.Account) {
		has := slices.ContainsFunc(account.Groups, func(g string) bool { return people.GroupKey(g) == key })
		switch {
		case in && !has:
			account.Groups = append(slices.Clone(account.Groups), name)
		case !in:
			account.Groups = slices.DeleteFunc(slices.Clone(account.Groups), func(g string) bool { return people.GroupKey(g) == key })
		}
	})
}
