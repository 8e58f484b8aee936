package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/bench/load"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/xmpp/jid"
)

const desklineConfig = `domains: [%s]
data_dir: %s
log: {level: warn}
http: {listen: "127.0.0.1:%d"}
admin: {listen: "127.0.0.1:%d"}
discovery: {rate: 0}
presence: {http: {token: "` + Token + `"}}
`

// Token is that of sources which tell what telephone lines do.
const Token = "bench-token-of-lines"

// desklinePlan writes accounts and rosters through the store, as the server
// keeps them itself.
func desklinePlan(ctx context.Context, dir string, port int, o Options) (plan, error) {
	data := filepath.Join(dir, "data")
	if err := Seed(ctx, configs.Config{DataDir: data}.StorePath(), o); err != nil {
		return plan{}, err
	}
	return servePlan(dir, data, port, o, "")
}

// servePlan runs the binary with a configuration, of which more is a part.
func servePlan(dir, data string, port int, o Options, more string) (plan, error) {
	adminPort, err := freePort()
	if err != nil {
		return plan{}, err
	}
	config := filepath.Join(dir, "deskline.yaml")
	text := fmt.Sprintf(desklineConfig, Domain, data, port, adminPort) + more
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return plan{}, fmt.Errorf("write configuration: %w", err)
	}
	binary, err := filepath.Abs(o.Deskline)
	if err != nil {
		return plan{}, fmt.Errorf("find binary: %w", err)
	}
	return plan{
		argv:  []string{binary, "serve", "-c", config},
		url:   "http://127.0.0.1:" + strconv.Itoa(port) + "/http-bind",
		admin: "http://127.0.0.1:" + strconv.Itoa(adminPort),
	}, nil
}

// Seed writes the users and their mutual contacts into an embedded store. All
// users share one password and salt, so that neither this nor the load
// generator spends its time deriving keys; the server's work stays the same.
func Seed(ctx context.Context, path string, o Options) error {
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return errors.Join(seed(ctx, store, o), store.Close())
}

// filled is a store that users are written into.
type filled interface {
	auth.Store
	roster.Store
}

func seed(ctx context.Context, store filled, o Options) error {
	keys, err := auth.New(store, auth.Config{}).Derive(Password)
	if err != nil {
		return fmt.Errorf("derive keys: %w", err)
	}
	accounts := make([]auth.Account, o.Users)
	for i := range accounts {
		if accounts[i].JID, err = bench(i); err != nil {
			return err
		}
		accounts[i].Keys, accounts[i].Created, accounts[i].Changed = keys, time.Now(), time.Now()
	}
	if err := store.CreateAccounts(ctx, accounts, nil); err != nil {
		return fmt.Errorf("create accounts: %w", err)
	}
	if o.Contacts == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(256) // the store gathers concurrent writes in one commit
	for i, a := range accounts {
		group.Go(func() error { return befriend(ctx, store, a.JID, load.Contacts(i, o.Users, o.Contacts)) })
	}
	return group.Wait()
}

func bench(i int) (jid.JID, error) {
	j, err := jid.New(Prefix+strconv.Itoa(i), Domain, "")
	if err != nil {
		return j, fmt.Errorf("name user %d: %w", i, err)
	}
	return j, nil
}

func befriend(ctx context.Context, store roster.Store, owner jid.JID, contacts []int) error {
	items := make([]roster.Item, len(contacts))
	for k, c := range contacts {
		j, err := bench(c)
		if err != nil {
			return err
		}
		items[k] = roster.Item{JID: j, Name: "User " + strconv.Itoa(c), Subscription: roster.Both}
	}
	r, err := store.Roster(ctx, owner)
	if err != nil {
		return fmt.Errorf("read roster of %s: %w", owner, err)
	}
	if _, err := store.Save(ctx, owner, r.Ver, items, nil); err != nil {
		return fmt.Errorf("save roster of %s: %w", owner, err)
	}
	return nil
}
