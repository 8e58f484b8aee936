package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

// demoPeople are who the demo node begins with.
var demoPeople = []struct {
	local, name string
	groups      []string
}{
	{"alice", "Alice Archer", []string{"Agents"}},
	{"bob", "Bob Baker", []string{"Agents"}},
	{"carol", "Carol Clark", []string{"Supervisors"}},
	{"dave", "Dave Dixon", []string{"Experts"}},
}

func demoUsers() []string {
	var names []string
	for _, p := range demoPeople {
		names = append(names, p.local)
	}
	return names
}

const demoPasswordKey = "demo.password"

// demo makes the people of the demo directory that are not there yet, gives
// them each other as contacts, and tells the password.
func (n *node) demo(ctx context.Context) error {
	if !n.cfg.Demo.Enabled {
		return nil
	}
	password, err := n.demoPassword(ctx)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	var made []jid.JID
	var friends []roster.Friend
	for _, p := range demoPeople {
		j, err := jid.New(p.local, n.cfg.Domains[0], "")
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		friends = append(friends, roster.Friend{JID: j, Name: p.name, Groups: p.groups})
		err = n.accounts.Create(ctx, auth.Account{JID: j, Name: p.name, Groups: p.groups}, password)
		switch {
		case err == nil:
			made = append(made, j)
		case !errors.Is(err, auth.ErrExists):
			return fmt.Errorf("demo: %w", err)
		}
	}
	if len(made) > 0 {
		if err := roster.Befriend(ctx, n.store, friends); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	// For the person at the terminal, on purpose not through the log.
	fmt.Fprintf(os.Stderr, "\n  Demo users of %s: %s\n  Password: %s\n\n", n.cfg.Domains[0], strings.Join(demoUsers(), ", "), password)
	return nil
}

// demoPassword is the one of the configuration, or one made at the first start
// and kept beside the accounts.
func (n *node) demoPassword(ctx context.Context) (string, error) {
	if p := n.cfg.Demo.Password.Reveal(); p != "" {
		return p, nil
	}
	kept, err := n.store.InitMeta(ctx, demoPasswordKey, []byte(strings.ToLower(rand.Text()[:12])))
	return string(kept), err
}
