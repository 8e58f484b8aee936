package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

// Sum is how much there is of one kind of data, and a checksum of all of it.
type Sum struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
	SHA   string `json:"sha256"`
}

// The kinds, in the order they are told.
const (
	kindAccounts = iota
	kindContacts
	kindMessages
	kindPrivate
	kindVCards
	kindSeen
	kindHistory
	kindValues
	kindAssignments
	kindShared
	kindGroups
	kindSessions
)

var kinds = []string{
	"accounts", "contacts", "messages", "private XML", "vCards", "last activities", "history", "values",
	"assignments", "cluster records", "groups", "sessions",
}

// sums adds up a store.
type sums struct {
	counts []int
	hashes []hash.Hash
}

func newSums() *sums {
	s := &sums{counts: make([]int, len(kinds))}
	for range kinds {
		s.hashes = append(s.hashes, sha256.New())
	}
	return s
}

// add adds n things of a kind, in a form that is the same for all stores.
func (s *sums) add(kind, n int, form any) error {
	data, err := json.Marshal(form)
	if err != nil {
		return err
	}
	s.counts[kind] += n
	s.hashes[kind].Write(append(data, '\n')) // never fails
	return nil
}

func (s *sums) list() []Sum {
	all := make([]Sum, len(kinds))
	for i, name := range kinds {
		all[i] = Sum{name, s.counts[i], hex.EncodeToString(s.hashes[i].Sum(nil))}
	}
	return all
}

// Sums adds up everything in a store, without the mark of a copy.
func Sums(ctx context.Context, s Source, progress func(done int)) ([]Sum, error) {
	all := newSums()
	err := walk(ctx, s, func(_, _ string, records []Record) error {
		for i := range records {
			if err := all.record(&records[i]); err != nil {
				return err
			}
			if err := all.history(ctx, s, records[i].Account.JID); err != nil {
				return err
			}
		}
		progress(all.counts[kindAccounts])
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := all.rest(ctx, s); err != nil {
		return nil, err
	}
	return all.list(), nil
}

func (s *sums) history(ctx context.Context, from Source, user jid.JID) error {
	changes, err := history(ctx, from, user)
	if err != nil {
		return err
	}
	for _, c := range changes {
		form := ownedForm{Owner: user.String(), Name: string(c.State), Value: binary([]byte(c.Why)), At: c.At.UnixMicro()}
		if err := s.add(kindHistory, 1, form); err != nil {
			return err
		}
	}
	return nil
}

// rest adds what is not an account's.
func (s *sums) rest(ctx context.Context, from Source) error {
	values, err := from.Values(ctx)
	if err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	for _, v := range values {
		if v.Key == markKey {
			continue
		}
		if err := s.add(kindValues, 1, ownedForm{Name: v.Key, Value: binary(v.Value)}); err != nil {
			return err
		}
	}
	if err := s.cluster(ctx, from); err != nil {
		return err
	}
	groups, err := from.GroupRecords(ctx)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if err := s.add(kindGroups, 1, []any{binary([]byte(g.Name)), g.Domain, g.Authorised}); err != nil {
			return err
		}
	}
	sessions, err := from.Sessions(ctx)
	if err != nil {
		return fmt.Errorf("read sessions: %w", err)
	}
	slices.SortFunc(sessions, func(a, b Snapshot) int { return strings.Compare(a.SID, b.SID) })
	for _, x := range sessions {
		if err := s.add(kindSessions, 1, ownedForm{Owner: x.SID, Name: x.Kind, Value: binary(x.Data)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *sums) cluster(ctx context.Context, from Source) error {
	c, err := from.Cluster(ctx)
	if err != nil {
		return fmt.Errorf("read the cluster's state: %w", err)
	}
	slices.SortFunc(c.Assignments, func(a, b cluster.Assignment) int { return strings.Compare(a.User.String(), b.User.String()) })
	for _, a := range c.Assignments {
		form := []any{a.User.String(), a.Home.Primary, a.Home.Secondary, a.Epoch}
		if err := s.add(kindAssignments, 1, form); err != nil {
			return err
		}
	}
	for _, r := range c.Records {
		if err := s.add(kindShared, 1, []any{r.Key, r.Version, binary(r.Data)}); err != nil {
			return err
		}
	}
	return s.add(kindShared, 0, c.Epoch)
}

// compare adds both sides up.
func compare(ctx context.Context, from Source, to Source, progress func(done int)) ([]Sum, error) {
	own, err := Sums(ctx, from, func(int) {})
	if err != nil {
		return nil, err
	}
	copied, err := Sums(ctx, to, progress)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for i := range own {
		if own[i] != copied[i] {
			wrong = append(wrong, fmt.Sprintf("%s (%d, copied %d)", own[i].Kind, own[i].Count, copied[i].Count))
		}
	}
	if wrong != nil {
		return copied, fmt.Errorf("%w: %s", ErrDiffers, strings.Join(wrong, ", "))
	}
	return copied, nil
}

// The forms in which things are compared. Times have microseconds, as stores
// keep them; nothing and an empty value are the same.
type (
	accountForm struct {
		JID              string
		Keys             map[string]auth.Keys
		Name, Email      string
		Groups           []string
		Disabled         bool
		Created, Changed int64
	}
	rosterForm struct {
		Owner      string
		Ver, Floor uint64
		Items      []itemForm
		Removed    []removedForm
	}
	itemForm struct {
		JID, Name                string
		Groups                   []string
		Subscription             roster.Subscription
		Ask, PendingIn, Approved bool
		Request                  string
		Ver                      uint64
	}
	removedForm struct {
		JID string
		Ver uint64
	}
	ownedForm struct {
		Owner, Name, Value string
		At                 int64
	}
)

func (s *sums) record(r *Record) error {
	owner := r.Account.JID.String()
	if err := s.add(kindAccounts, 1, formOfAccount(r.Account)); err != nil {
		return err
	}
	if err := s.add(kindContacts, len(r.Roster.Items), formOfRoster(r)); err != nil {
		return err
	}
	for _, m := range r.Messages {
		if err := s.add(kindMessages, 1, formOfMessage(owner, m)); err != nil {
			return err
		}
	}
	for _, e := range r.Private {
		if err := s.add(kindPrivate, 1, formOfElement(owner, e)); err != nil {
			return err
		}
	}
	if len(r.VCard) > 0 {
		if err := s.add(kindVCards, 1, ownedForm{Owner: owner, Value: binary(r.VCard)}); err != nil {
			return err
		}
	}
	if r.Seen {
		return s.add(kindSeen, 1, ownedForm{Owner: owner, Value: binary([]byte(r.Status)), At: r.LastSeen.UnixMicro()})
	}
	return nil
}

// encode writes all of a record, to compare it with another one.
func (r *Record) encode() ([]byte, error) {
	one := newSums()
	if err := one.record(r); err != nil {
		return nil, err
	}
	return json.Marshal(one.list())
}

func formOfAccount(a auth.Account) accountForm {
	return accountForm{
		a.JID.String(), a.Keys, binary([]byte(a.Name)), binary([]byte(a.Email)), texts(a.Groups), a.Disabled,
		a.Created.UnixMicro(), a.Changed.UnixMicro(),
	}
}

func formOfRoster(r *Record) rosterForm {
	f := rosterForm{Owner: r.Account.JID.String(), Ver: r.Roster.Ver, Floor: r.Floor}
	for _, it := range r.Roster.Items {
		f.Items = append(f.Items, itemForm{
			it.JID.String(), binary([]byte(it.Name)), texts(it.Groups), it.Subscription, it.Ask, it.PendingIn, it.Approved,
			binary(it.Request), it.Ver,
		})
	}
	for _, x := range r.Removed {
		f.Removed = append(f.Removed, removedForm{x.JID.String(), x.Ver})
	}
	return f
}

func formOfMessage(owner string, m offline.Message) ownedForm {
	return ownedForm{Owner: owner, Value: binary(m.XML), At: m.Stamp.UnixMicro()}
}

func formOfElement(owner string, e private.Element) ownedForm {
	return ownedForm{Owner: owner, Name: binary([]byte(e.Space)) + " " + binary([]byte(e.Local)), Value: binary(e.XML)}
}

// binary keeps bytes apart that JSON would write alike.
func binary(b []byte) string { return hex.EncodeToString(b) }

func texts(list []string) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = binary([]byte(s))
	}
	return all
}
