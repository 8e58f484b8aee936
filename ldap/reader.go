package ldap

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

// reader keeps a picture fresh. It belongs to the goroutine of Run.
type reader struct {
	d  *Directory
	to people.Sink

	full    bool // everything is to be read
	nature  nature
	since   int64  // the last number of a change that was read
	stamp   string // the last time of a change that was read
	groups  *groups
	mark    uint64 // of the groups: differs after each change
	suspect int    // people there were when a read lacked too many
	sync    *follower
	broken  int      // times that the server broke off telling of changes
	pending []string // people it told of who are not read yet
}

// errShrunk says that a read lacks so many people that it has to be confirmed.
var errShrunk = errors.New("more than half are missing, which the next read has to confirm")

// batch is how many people are asked for by their ids at a time.
const batch = 50

// most is how many people are read one batch after another; for more, all are.
const most = 5000

// readAll reads everybody, and tells the sink in place of what it knew.
func (r *reader) readAll(ctx context.Context, c *conn) error {
	d := r.d
	began := time.Now()
	g, err := d.readGroups(ctx, c)
	if err != nil {
		return err
	}
	if err := d.tryChain(ctx, c, g); err != nil {
		return err
	}
	mark, err := r.groupMark(ctx, c)
	if err != nil {
		return err
	}
	f, err := d.facts(ctx, c, "")
	if err != nil {
		return err
	}
	defer d.loading.Store(0)
	run := &run{reader: r, c: c, groups: g, facts: f}
	run.next.init()
	told := run.tell(ctx, r.to)
	if run.err != nil {
		return run.err
	}
	d.people.replace(&run.next)
	d.tell()
	r.groups, r.mark, r.since, r.stamp, r.suspect = g, mark, r.nature.usn, run.stamp, 0
	d.cfg.Log.InfoContext(ctx, "directory read", "people", len(run.next.byID), "enabled", run.next.enabled, "groups", len(g.list),
		"left_out", run.bad, "took", time.Since(began).Round(time.Millisecond), "changes", r.nature.changes)
	if told != nil {
		return fmt.Errorf("tell of people: %w", told)
	}
	return nil
}

// run is one read of everybody.
type run struct {
	*reader
	c      *conn
	groups *groups
	facts  facts
	next   picture
	stamp  string
	bad    int // entries that can be nobody
	ran    bool
	err    error
}

// tell gives the sink the people of a run, which goes to its end even if the sink
// does not: the picture needs them all the same.
func (r *run) tell(ctx context.Context, to people.Sink) error {
	seq := r.people(ctx)
	err := to.Replace(ctx, seq)
	if !r.ran {
		seq(func(people.Person, error) bool { return false })
	}
	return err
}

func (r *run) people(ctx context.Context) iter.Seq2[people.Person, error] {
	return func(yield func(people.Person, error) bool) {
		if r.ran {
			return
		}
		r.ran = true
		listening := true
		tell := func(p people.Person, err error) { listening = listening && yield(p, err) }
		d := r.d
		r.err = d.pages(ctx, r.c, d.cfg.Base, d.cfg.OneLevel, d.Settings().Filter, d.names(), func(raw *goldap.Entry) error {
			if p, ok := r.take(ctx, raw); ok {
				tell(p, nil)
			}
			return nil
		})
		if r.err == nil {
			r.err = r.plausible(len(r.next.byID), r.next.enabled)
		}
		if r.err != nil {
			tell(people.Person{}, r.err)
		}
	}
}

func (r *run) take(ctx context.Context, raw *goldap.Entry) (people.Person, bool) {
	d := r.d
	e, err := d.parse(raw)
	if err != nil {
		r.leaveOut(ctx, err)
		return people.Person{}, false
	}
	d.judge(&e, r.groups, r.facts)
	if !r.next.add(e.record()) {
		r.leaveOut(ctx, fmt.Errorf("%s: %s is there already: %s", e.dn, e.JID, r.next.byJID[e.JID].dn))
		return people.Person{}, false
	}
	r.stamp = max(r.stamp, value(raw, d.cfg.Attributes.stamp))
	if n := d.loading.Add(1); n%10000 == 0 {
		d.cfg.Log.InfoContext(ctx, "reading the directory", "people", n)
	}
	return e.Person, true
}

// leaveOut notes somebody who cannot be one of ours. Service accounts and the like
// are many, so only the first are told of.
func (r *run) leaveOut(ctx context.Context, err error) {
	if r.bad++; r.bad <= 3 {
		r.d.cfg.Log.WarnContext(ctx, "left out of the directory", "err", err)
	}
}

func (e *entry) record() record {
	return record{jid: e.JID, id: e.ID, dn: e.dn, why: e.Why, sum: sum(e.Person), stamp: e.stamp, allowed: e.allowed, recheck: e.recheck}
}

// plausible refuses a read that lacks more than half of the people, or of those who
// may chat, unless the one before did, too: a server that is being filled, or whose rules of access have
// changed, must not end everybody's chats.
func (r *reader) plausible(found, enabled int) error {
	had, could, complete, _ := r.d.people.counts()
	fewer := had >= 4 && 2*found < had
	if !complete || !fewer && (could < 4 || 2*enabled >= could) || r.suspect > 0 {
		return nil
	}
	r.suspect = had
	return fmt.Errorf("%w: %d of %d are left, %d of %d who may chat", errShrunk, found, had, enabled, could)
}

// groupMark is the same as long as no group has changed.
func (r *reader) groupMark(ctx context.Context, c *conn) (uint64, error) {
	d := r.d
	var mark uint64
	stamp := d.cfg.Attributes.stamp
	err := d.pages(ctx, c, d.cfg.GroupBase, false, d.Settings().GroupFilter, []string{stamp, "entryCSN"}, func(e *goldap.Entry) error {
		mark += maphash.String(seed, e.DN+"\x00"+value(e, "entryCSN")+"\x00"+value(e, stamp))
		return nil
	})
	return mark, err
}

// refetch reads people anew and tells what is different. Those who are not there
// any more are gone.
func (r *reader) refetch(ctx context.Context, c *conn, list []string) error {
	slices.Sort(list)
	list = slices.Compact(list)
	for part := range slices.Chunk(list, batch) {
		if err := r.refetchPart(ctx, c, part); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) refetchPart(ctx context.Context, c *conn, part []string) error {
	d := r.d
	restrict := d.withIDs(part)
	if restrict == "" {
		return r.refetchByName(ctx, c, part)
	}
	var found []*goldap.Entry
	err := d.pages(ctx, c, d.cfg.Base, d.cfg.OneLevel, all(d.Settings().Filter, restrict), d.names(), func(e *goldap.Entry) error {
		found = append(found, e)
		return nil
	})
	if err != nil {
		return err
	}
	f, err := d.facts(ctx, c, restrict)
	if err != nil {
		return err
	}
	return r.settle(ctx, found, part, f)
}

// refetchByName is for servers whose entries have no id but their DN.
func (r *reader) refetchByName(ctx context.Context, c *conn, part []string) error {
	d := r.d
	var found []*goldap.Entry
	for _, id := range part {
		e, err := d.read(ctx, c, id, d.names()...)
		if err != nil {
			return err
		}
		if e != nil {
			found = append(found, e)
		}
	}
	f, err := d.facts(ctx, c, "")
	if err != nil {
		return err
	}
	return r.settle(ctx, found, part, f)
}

// settle compares what was found for some ids with the picture.
func (r *reader) settle(ctx context.Context, found []*goldap.Entry, asked []string, f facts) error {
	d := r.d
	missing := ids{}
	for _, id := range asked {
		missing[id] = struct{}{}
	}
	var put []people.Person
	var gone []jid.JID
	for _, raw := range found {
		e, err := d.parse(raw)
		if err != nil {
			continue
		}
		d.judge(&e, r.groups, f)
		rec := e.record()
		old, known := d.people.byid(e.ID)
		was, taken := d.people.put(rec)
		if taken {
			d.cfg.Log.WarnContext(ctx, "left out of the directory", "err", fmt.Errorf("%s: %s is there already", e.dn, e.JID))
			continue
		}
		delete(missing, e.ID)
		if !was.IsZero() {
			gone = append(gone, was)
		}
		if !known || old.sum != rec.sum || old.jid != rec.jid {
			put = append(put, e.Person)
		}
	}
	for id := range missing {
		if j, ok := d.people.drop(id); ok {
			gone = append(gone, j)
		}
	}
	return r.change(ctx, put, gone)
}

// change tells of changes.
func (r *reader) change(ctx context.Context, put []people.Person, gone []jid.JID) error {
	if len(put) == 0 && len(gone) == 0 {
		return nil
	}
	r.d.tell()
	r.d.cfg.Log.DebugContext(ctx, "directory changed", "put", len(put), "gone", len(gone))
	if err := r.to.Change(ctx, put, gone); err != nil {
		r.full = true
		return fmt.Errorf("tell of people: %w", err)
	}
	return nil
}
