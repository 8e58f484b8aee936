package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/xmpp/jid"
)

// accounts are those of a node, opened beside it: a node that runs sees every
// change at once, for it caches nothing of the store but for seconds.
type accounts struct {
	cfg     configs.Config
	store   app.Store
	service *auth.Service
}

// openAccounts opens the store; unless create is set it must be there.
func (c *cli) openAccounts(ctx context.Context, create bool) (*accounts, error) {
	cfg, err := configs.Load(c.file)
	if err != nil {
		return nil, err
	}
	if app.StoreMissing(cfg) != nil && !create {
		return nil, fmt.Errorf("there is no store at %s, the data_dir of %s; start the node once or add a user", cfg.StorePath(), c.fileName())
	}
	store, err := app.OpenStore(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	service := auth.New(store, auth.Config{
		Mechanisms: cfg.Auth.Mechanisms, Iterations: cfg.Auth.Iterations,
		Changed: app.AccountsChanged(store, slog.Default()),
	})
	return &accounts{cfg, store, service}, nil
}

// withAccounts opens the accounts for f.
func (c *cli) withAccounts(ctx context.Context, create bool, f func(*accounts) error) error {
	a, err := c.openAccounts(ctx, create)
	if err != nil {
		return err
	}
	return errors.Join(f(a), a.store.Close())
}

// jid reads alice or alice@example.com.
func (a *accounts) jid(user string) (jid.JID, error) {
	local, domain, ok := strings.Cut(user, "@")
	if !ok {
		domain = a.cfg.Domains[0]
	}
	j, err := jid.New(local, domain, "")
	if err != nil || j.Local() == "" {
		return j, usage("%q is no user, write alice or alice@%s", user, a.cfg.Domains[0])
	}
	return j, a.served(j.Domain())
}

// served refuses domains that are not of this node.
func (a *accounts) served(domain string) error {
	if !slices.Contains(a.cfg.Domains, domain) {
		return fmt.Errorf("%s is not served here, domains has %s", domain, strings.Join(a.cfg.Domains, ", "))
	}
	return nil
}

// explain puts the errors of accounts into words that say what to do.
func explain(j jid.JID, err error) error {
	switch {
	case errors.Is(err, auth.ErrExists):
		return fmt.Errorf("%s is there already; deskline user passwd changes the password", j)
	case errors.Is(err, auth.ErrNotFound):
		return fmt.Errorf("there is no user %s", j)
	default:
		return err
	}
}
