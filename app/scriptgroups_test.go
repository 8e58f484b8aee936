package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/auth"
	groupstore "github.com/deskline/deskline/people"
)

// administer carries out what a script has the administrator do, beside the node,
// as the commands do: puts NAME into GROUP, takes NAME out of GROUP, authorises
// GROUP, revokes GROUP; or what a switch tells of a line: reports LINE JSON.
func (s *stage) administer(ctx context.Context, order string) (err error) {
	if rest, ok := strings.CutPrefix(order, "reports "); ok {
		return s.reportLine(ctx, rest)
	}
	store, err := app.OpenStore(ctx, s.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	act, rest, _ := strings.Cut(order, " ")
	switch act {
	case "authorises", "revokes":
		return store.SaveGroupRecord(ctx, groupstore.Record{Name: rest, Authorised: act == "authorises"})
	case "puts", "takes":
		name, group, ok := strings.Cut(rest, map[string]string{"puts": " into ", "takes": " out of "}[act])
		if !ok {
			break
		}
		return auth.New(store, auth.Config{Changed: app.AccountsChanged(store, slog.Default())}).Update(ctx, address(name), func(a *auth.Account) {
			a.Groups = slices.DeleteFunc(a.Groups, func(g string) bool { return g == group })
			if act == "puts" {
				a.Groups = append(a.Groups, group)
			}
		})
	}
	return fmt.Errorf("%q is nothing the administrator does", order)
}
