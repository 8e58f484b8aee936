package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

var (
	// ErrOccupied says that the target has accounts that are not of a copy from
	// the same source begun before.
	ErrOccupied = errors.New("the target has accounts already")
	// ErrSame says that source and target are one store.
	ErrSame = errors.New("source and target are the same store")
	// ErrDiffers says that source and target are not the same after the copy,
	// for one of them was written meanwhile.
	ErrDiffers = errors.New("the copy differs from its source")
	// ErrUnfinished says that a copy into the store has not come to its end.
	ErrUnfinished = errors.New("a copy into this store has not ended, run it again")
)

// page is how many accounts are in memory at a time.
const page = 50

// markKey is the value that tells of a copy into the store; it is not copied.
const markKey = "store.copy"

// mark is that value.
type mark struct {
	From string    `json:"from"`
	At   time.Time `json:"at"`
	Done bool      `json:"done"`
}

// Options tell how to copy.
type Options struct {
	From    string // names the source; a copy is taken up again only from the same
	Replace bool   // removes accounts that are in the target already
	// Progress, if not nil, is told how many of how many accounts are copied, or
	// with verify set how many are compared.
	Progress func(done, total int, verify bool)
}

// Copy copies everything and compares both sides afterwards. Cut short, it can be
// called again and writes what is missing. The sums are also returned with
// ErrDiffers.
func Copy(ctx context.Context, from Source, to Target, o Options) ([]Sum, error) {
	if o.Progress == nil {
		o.Progress = func(int, int, bool) {}
	}
	if err := begin(ctx, from, to, o); err != nil {
		return nil, err
	}
	total, err := from.CountAccounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("count accounts: %w", err)
	}
	done := 0
	err = walk(ctx, from, func(domain, after string, records []Record) error {
		if err := copyPage(ctx, to, domain, after, records); err != nil {
			return err
		}
		if err := copyHistory(ctx, from, to, records); err != nil {
			return err
		}
		done += len(records)
		o.Progress(done, max(done, total), false)
		return nil
	})
	if err == nil {
		err = copyRest(ctx, from, to)
	}
	if err != nil {
		return nil, err
	}
	sums, err := compare(ctx, from, to, func(done int) { o.Progress(done, max(done, total), true) })
	if err != nil {
		return sums, err
	}
	return sums, setMark(ctx, to, mark{From: o.From, At: time.Now().UTC(), Done: true})
}

// begin marks the target, unless it has accounts of its own.
func begin(ctx context.Context, from Source, to Target, o Options) error {
	before, err := readMark(ctx, to)
	if err != nil {
		return err
	}
	n, err := to.CountAccounts(ctx)
	if err != nil {
		return fmt.Errorf("count accounts: %w", err)
	}
	again := before != nil && !before.Done && before.From == o.From
	if n > 0 && !again && !o.Replace {
		return fmt.Errorf("%w: %d", ErrOccupied, n)
	}
	m := mark{From: o.From, At: time.Now().UTC()}
	if err := setMark(ctx, to, m); err != nil {
		return err
	}
	if err := apart(ctx, from, to, m); err != nil || again {
		return err
	}
	return clearAccounts(ctx, to)
}

// apart makes sure that the mark just set is not seen in the source, which may
// be the same store by another name.
func apart(ctx context.Context, from Source, to Target, m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	values, err := from.Values(ctx)
	if err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	for _, v := range values {
		if v.Key == markKey && bytes.Equal(v.Value, data) {
			m.Done = true
			return errors.Join(ErrSame, setMark(ctx, to, m))
		}
	}
	return nil
}

func clearAccounts(ctx context.Context, to Target) error {
	return walk(ctx, to, func(_, _ string, records []Record) error {
		for i := range records {
			if err := to.DeleteAccount(ctx, records[i].Account.JID); err != nil {
				return err
			}
		}
		return nil
	})
}

// Unfinished returns ErrUnfinished if a copy into a store was begun and not
// ended, which must not serve then.
func Unfinished(ctx context.Context, s interface {
	Meta(ctx context.Context, key string) ([]byte, error)
},
) error {
	m, err := readMark(ctx, s)
	if err == nil && m != nil && !m.Done {
		err = fmt.Errorf("%w: from %s, begun at %s", ErrUnfinished, m.From, m.At.Format(time.RFC3339))
	}
	return err
}

func readMark(ctx context.Context, s interface {
	Meta(ctx context.Context, key string) ([]byte, error)
},
) (*mark, error) {
	data, err := s.Meta(ctx, markKey)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	m := new(mark)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("mark of a copy: %w", err)
	}
	return m, nil
}

func setMark(ctx context.Context, to Target, m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return to.SetMeta(ctx, markKey, data)
}

// walk goes through all accounts of a store in order.
func walk(ctx context.Context, s Source, visit func(domain, after string, records []Record) error) error {
	domains, err := s.Domains(ctx)
	if err != nil {
		return fmt.Errorf("list domains: %w", err)
	}
	for _, d := range domains {
		for after, more := "", true; more; {
			records, err := s.Records(ctx, d, after, page)
			if err != nil {
				return fmt.Errorf("read accounts of %s: %w", d, err)
			}
			if err := visit(d, after, records); err != nil {
				return err
			}
			if more = len(records) == page; more {
				after = records[page-1].Account.JID.Local()
			}
		}
	}
	return nil
}

// copyPage writes the accounts that the target does not have so already.
func copyPage(ctx context.Context, to Target, domain, after string, records []Record) error {
	there, err := to.Records(ctx, domain, after, len(records))
	if err != nil {
		return fmt.Errorf("read copied accounts of %s: %w", domain, err)
	}
	kept := make(map[string][]byte, len(there))
	for i := range there {
		if kept[there[i].Account.JID.Local()], err = there[i].encode(); err != nil {
			return err
		}
	}
	var missing []Record
	for i := range records {
		own, err := records[i].encode()
		if err != nil {
			return err
		}
		if !bytes.Equal(own, kept[records[i].Account.JID.Local()]) {
			missing = append(missing, records[i])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := to.Restore(ctx, missing); err != nil {
		return fmt.Errorf("write accounts of %s: %w", domain, err)
	}
	return nil
}

// history returns all that is kept of what a user was.
func history(ctx context.Context, s Source, user jid.JID) ([]presence.Change, error) {
	return s.Changes(ctx, user, time.Unix(0, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), presence.MaxChanges)
}

// copyHistory copies what users were; what is there already does no harm.
func copyHistory(ctx context.Context, from Source, to Target, records []Record) error {
	for i := range records {
		changes, err := history(ctx, from, records[i].Account.JID)
		if err == nil && len(changes) > 0 {
			err = to.SaveChanges(ctx, changes, presence.MaxChanges)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyRest copies what is not an account's.
func copyRest(ctx context.Context, from Source, to Target) error {
	values, err := from.Values(ctx)
	if err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	for _, v := range values {
		if v.Key == markKey {
			continue
		}
		if err := to.SetMeta(ctx, v.Key, v.Value); err != nil {
			return fmt.Errorf("write values: %w", err)
		}
	}
	shared, err := from.Cluster(ctx)
	if err != nil {
		return fmt.Errorf("read the cluster's state: %w", err)
	}
	if err := to.RestoreCluster(ctx, shared); err != nil {
		return fmt.Errorf("write the cluster's state: %w", err)
	}
	if err := copyGroups(ctx, from, to); err != nil {
		return err
	}
	sessions, err := from.Sessions(ctx)
	if err != nil {
		return fmt.Errorf("read sessions: %w", err)
	}
	if err := to.SaveSessions(ctx, sessions); err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	return nil
}

// copyGroups writes what is said of groups in place of what is there.
func copyGroups(ctx context.Context, from Source, to Target) error {
	records, err := from.GroupRecords(ctx)
	if err != nil {
		return err
	}
	there, err := to.GroupRecords(ctx)
	if err != nil {
		return err
	}
	for _, r := range there {
		if err := to.DeleteGroupRecord(ctx, r); err != nil && !errors.Is(err, people.ErrNoGroup) {
			return err
		}
	}
	for _, r := range records {
		if err := to.SaveGroupRecord(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
