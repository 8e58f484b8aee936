package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

// The bits of an item's flags.
const (
	flagSubscription = 3
	flagAsk          = 4
	flagPendingIn    = 8
	flagApproved     = 16
)

// base is the version of a roster never changed, and the number before the first
// message kept. Ids of accounts are not used twice, so a deleted account's
// numbers lie before those of its successor.
func base(id int64) int64 { return id << 20 }

// Roster implements [roster.Store].
func (s *Store) Roster(ctx context.Context, owner jid.JID) (roster.Roster, error) {
	r, _, err := s.roster(ctx, owner)
	if err != nil {
		return roster.Roster{}, fmt.Errorf("roster of %s: %w", owner, err)
	}
	return r, nil
}

func (s *Store) roster(ctx context.Context, owner jid.JID) (r roster.Roster, floor uint64, err error) {
	answers, err := s.pipes.do(ctx, &call{cmds: []command{
		plain("HGETALL", s.keys.roster(owner)),
		plain("HMGET", s.keys.account(owner), "id", "batch"),
	}})
	if err != nil {
		return r, 0, err
	}
	list, _ := answers[0].([]any)
	if len(list) > 0 {
		return decodeRoster(list)
	}
	// Never changed, or no account.
	about := texts(answers[1])
	if about[0] == "" {
		return r, 0, nil
	}
	if about[1] != "" {
		if there, err := s.there(ctx, owner, about[1]); err != nil || !there {
			return r, 0, err
		}
	}
	r.Ver = uint64(base(number(about[0])))
	return r, r.Ver, nil
}

// decodeRoster reads contacts and items in turn, among them the state.
func decodeRoster(list []any) (r roster.Roster, floor uint64, err error) {
	for i := 0; i+1 < len(list); i += 2 {
		contact, value := text(list[i]), text(list[i+1])
		if contact == "" {
			ver, low, _ := strings.Cut(value, " ")
			var errs [2]error
			r.Ver, errs[0] = strconv.ParseUint(ver, 10, 64)
			floor, errs[1] = strconv.ParseUint(low, 10, 64)
			if err := errors.Join(errs[:]...); err != nil {
				return r, 0, err
			}
			continue
		}
		it, err := decodeItem(contact, value)
		if err != nil {
			return r, 0, err
		}
		r.Items = append(r.Items, it)
	}
	sortItems(r.Items)
	return r, floor, nil
}

func sortItems(items []roster.Item) {
	slices.SortFunc(items, func(a, b roster.Item) int { return cmp.Compare(a.JID.String(), b.JID.String()) })
}

// Save implements [roster.Store].
func (s *Store) Save(ctx context.Context, owner jid.JID, ver uint64, put []roster.Item, del []jid.JID) (uint64, error) {
	next := ver + 1
	args := []any{ver, next, s.cfg.Tombstones, s.keys.changed(), owner.Bare().String(), len(del)}
	for _, j := range del {
		args = append(args, j.String())
	}
	for _, it := range put {
		it.Ver = next
		item, err := encodeItem(it)
		if err != nil {
			return 0, fmt.Errorf("save roster of %s: %w", owner, err)
		}
		args = append(args, it.JID.String(), item)
	}
	answer, err := s.owned(ctx, owner, roster.ErrNotFound, &call{once: true, cmds: []command{
		saveScript.on([]string{s.keys.account(owner), s.keys.roster(owner), s.keys.removed(owner)}, args...),
	}})
	if err == nil && text(answer) == "CONFLICT" {
		err = roster.ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("save roster of %s: %w", owner, err)
	}
	return next, nil
}

// errGone is what Since makes of a missing owner.
var errGone = errors.New("owner is gone")

// Since implements [roster.Store].
func (s *Store) Since(ctx context.Context, owner jid.JID, ver uint64) (changed []roster.Item, removed []jid.JID, now uint64, ok bool, err error) {
	answer, err := s.owned(ctx, owner, errGone, &call{cmds: []command{
		sinceScript.on([]string{s.keys.account(owner), s.keys.roster(owner), s.keys.removed(owner)}, ver),
	}})
	if errors.Is(err, errGone) {
		return nil, nil, 0, false, nil
	}
	if err == nil {
		changed, removed, now, ok, err = decodeChanges(answer)
	}
	if err != nil {
		return nil, nil, 0, false, fmt.Errorf("roster changes of %s: %w", owner, err)
	}
	return changed, removed, now, ok, nil
}

func decodeChanges(answer any) (changed []roster.Item, removed []jid.JID, now uint64, ok bool, err error) {
	list, _ := answer.([]any)
	if len(list) == 0 {
		return nil, nil, 0, false, errors.New("an answer of another form")
	}
	now = uint64(number(list[0]))
	if len(list) < 3 {
		return nil, nil, now, false, nil
	}
	items := texts(list[1])
	for i := 0; i+1 < len(items); i += 2 {
		it, err := decodeItem(items[i], items[i+1])
		if err != nil {
			return nil, nil, 0, false, err
		}
		changed = append(changed, it)
	}
	sortItems(changed)
	gone := texts(list[2])
	slices.Sort(gone)
	for _, contact := range gone {
		j, err := jid.Parse(contact)
		if err != nil {
			return nil, nil, 0, false, err
		}
		removed = append(removed, j)
	}
	return changed, removed, now, true, nil
}

// encodeItem writes version, flags, the lengths of name and groups, and those
// with the request behind them. A script reads the version.
func encodeItem(it roster.Item) ([]byte, error) {
	groups, err := encodeList(it.Groups)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 48+len(it.Name)+len(groups)+len(it.Request))
	b = strconv.AppendUint(b, it.Ver, 10)
	for _, n := range []int{flags(it), len(it.Name), len(groups)} {
		b = strconv.AppendInt(append(b, ' '), int64(n), 10)
	}
	b = append(append(b, '\n'), it.Name...)
	return append(append(b, groups...), it.Request...), nil
}

func decodeItem(contact, value string) (roster.Item, error) {
	j, err := jid.Parse(contact)
	if err != nil {
		return roster.Item{}, err
	}
	head, rest, ok := strings.Cut(value, "\n")
	words := strings.Fields(head)
	var n [4]uint64
	for i := range n {
		if !ok || len(words) != len(n) {
			return roster.Item{}, fmt.Errorf("item %s has another form", contact)
		}
		if n[i], err = strconv.ParseUint(words[i], 10, 64); err != nil {
			return roster.Item{}, fmt.Errorf("item %s: %w", contact, err)
		}
	}
	name, lists := n[2], n[2]+n[3]
	if lists > uint64(len(rest)) || name > lists {
		return roster.Item{}, fmt.Errorf("item %s is cut short", contact)
	}
	groups, err := decodeList(rest[name:lists])
	it := roster.Item{
		JID: j, Ver: n[0], Name: rest[:name], Groups: groups,
		Subscription: roster.Subscription(n[1] & flagSubscription),
		Ask:          n[1]&flagAsk != 0,
		PendingIn:    n[1]&flagPendingIn != 0,
		Approved:     n[1]&flagApproved != 0,
	}
	if request := rest[lists:]; request != "" {
		it.Request = []byte(request)
	}
	return it, err
}

func flags(it roster.Item) int {
	f := int(it.Subscription & flagSubscription)
	if it.Ask {
		f |= flagAsk
	}
	if it.PendingIn {
		f |= flagPendingIn
	}
	if it.Approved {
		f |= flagApproved
	}
	return f
}
