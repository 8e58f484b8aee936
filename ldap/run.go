package ldap

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/deskline/deskline/people"
)

var _ people.Source = (*Directory)(nil)

// Run implements [people.Source]. It reads everybody, and then, at least once
// within Settings.Refresh, what has changed and who may chat.
func (d *Directory) Run(ctx context.Context, to people.Sink) error {
	r := &reader{d: d, to: to, full: true}
	defer r.unfollow()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var trouble time.Duration
	for {
		var newcomer string
		var told *told
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-d.kick:
			r.full = true
		case newcomer = <-d.unknown:
		case told = <-r.news():
		}
		var err error
		switch {
		case newcomer != "":
			err = r.meet(ctx, newcomer)
		case told != nil:
			err = r.hear(ctx, told)
		default:
			err = r.refresh(ctx)
		}
		wait := d.Settings().Refresh
		d.suspect.Store(r.suspect > 0)
		if err != nil && ctx.Err() == nil {
			trouble = min(max(2*trouble, time.Second), wait)
			d.log(ctx, err)
			if !errors.Is(err, errShrunk) { // to be confirmed, but not at once
				wait = trouble
			}
		} else if newcomer == "" {
			trouble = 0
		}
		if newcomer == "" && told == nil || err != nil {
			timer.Reset(wait)
		}
	}
}

func (d *Directory) log(ctx context.Context, err error) {
	if errors.Is(err, ErrAway) {
		return // told when the server went away
	}
	d.cfg.Log.WarnContext(ctx, "read the directory; what was read before stays", "err", err)
}

// refresh reads all, or what has changed since.
func (r *reader) refresh(ctx context.Context) error {
	c, err := r.d.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := r.refreshOn(ctx, c); err != nil {
		if failed(err) && c.broken {
			c.server.report(ctx, err)
		}
		return err
	}
	r.d.people.heard()
	return nil
}

func (r *reader) refreshOn(ctx context.Context, c *conn) error {
	now, err := r.d.probe(ctx, c)
	if err != nil {
		return err
	}
	// Another server counts its changes in another way.
	r.full = r.full || r.groups == nil || now.origin != r.nature.origin
	if r.full {
		r.unfollow()
		r.nature, r.broken = now, 0
		if err := r.readAll(ctx, c); err != nil {
			return err
		}
		r.full = false
	} else {
		r.nature.usn, r.nature.cookie = now.usn, now.cookie
		if err := r.catchUp(ctx, c); err != nil {
			return err
		}
	}
	if r.sync == nil && r.nature.changes == bySync {
		r.follow(ctx, c.server)
	}
	return nil
}

// catchUp finds those who are new, different or gone, and reads them.
func (r *reader) catchUp(ctx context.Context, c *conn) error {
	d := r.d
	list, err := r.regrouped(ctx, c)
	if err != nil || r.full {
		return err
	}
	changed, err := r.touched(ctx, c)
	if err != nil {
		return err
	}
	moved, err := r.moved(ctx, c)
	if err != nil {
		return err
	}
	list = slices.Concat(list, changed, moved, r.pending, d.people.ids(func(x *record) bool { return x.recheck }))
	if len(list) > most {
		r.full = true
		return r.refreshOn(ctx, c)
	}
	if err := r.refetch(ctx, c, list); err != nil {
		return err
	}
	r.since, r.pending = r.nature.usn, nil
	if r.sync != nil {
		r.broken = 0 // it has told for a while
	}
	return nil
}

// regrouped reads the groups if one has changed, and returns whose groups have.
func (r *reader) regrouped(ctx context.Context, c *conn) ([]string, error) {
	d := r.d
	mark, err := r.groupMark(ctx, c)
	if err != nil || mark == r.mark {
		return nil, err
	}
	g, err := d.readGroups(ctx, c)
	if err != nil {
		return nil, err
	}
	old, depth := r.groups, d.Settings().Enabled.Depth
	list := d.people.ids(func(x *record) bool {
		keys := x.keys()
		return !slices.Equal(old.names(old.of(depth, keys...), nil), g.names(g.of(depth, keys...), nil))
	})
	if err := d.tryChain(ctx, c, g); err != nil {
		return nil, err
	}
	if wanted := d.Settings().Enabled.Groups; len(wanted) > 0 && !d.chain.Load() {
		out := d.people.ids(func(x *record) bool {
			return x.why == "" && !g.inAny(g.of(depth, x.keys()...), nil, wanted)
		})
		if err := r.plausible(math.MaxInt/2, d.enabled()-len(out)); err != nil {
			return nil, err
		}
	}
	r.groups, r.mark = g, mark
	return list, nil
}

// touched returns whom the server says to have changed.
func (r *reader) touched(ctx context.Context, c *conn) ([]string, error) {
	d := r.d
	var since string
	switch {
	case r.sync != nil:
		return nil, nil
	case r.nature.changes == byUSN:
		since = strconv.FormatInt(r.since+1, 10)
	default:
		since = earlier(r.stamp)
	}
	stamp := d.cfg.Attributes.stamp
	if since == "" || stamp == "" {
		return nil, nil
	}
	var list []string
	err := d.pages(ctx, c, d.cfg.Base, d.cfg.OneLevel, all(d.Settings().Filter, "("+stamp+">="+since+")"), []string{d.cfg.Attributes.id, stamp, "entryCSN"},
		func(e *goldap.Entry) error {
			r.stamp = max(r.stamp, value(e, stamp))
			id := d.idOf(e)
			if old, known := d.people.byid(id); !known || old.stamp != d.stampOf(e) {
				list = append(list, id)
			}
			return nil
		})
	return list, err
}

// moved compares who is there, and of whom the filter and the groups are true, with
// the picture: neither deletions nor what a server computes show as changes.
func (r *reader) moved(ctx context.Context, c *conn) ([]string, error) {
	d := r.d
	s := d.Settings()
	var list []string
	if r.sync == nil {
		there, err := d.listing(ctx, c, s.Filter)
		if err != nil {
			return nil, err
		}
		if err := r.plausible(len(there), d.enabled()); err != nil {
			return nil, err
		}
		list = d.people.ids(func(x *record) bool { return !there.has(x.id) })
		for id := range there {
			if _, known := d.people.byid(id); !known {
				list = append(list, id)
			}
		}
	}
	if s.Enabled.Filter == "" && (!d.chain.Load() || len(s.Enabled.Groups) == 0) {
		r.suspect = 0
		return list, nil
	}
	f, err := d.facts(ctx, c, "")
	if err != nil {
		return nil, err
	}
	var lost int
	list = append(list, d.people.ids(func(x *record) bool {
		now := f.allow(x.id)
		if x.why == "" && !now {
			lost++
		}
		return x.allowed != now
	})...)
	if err := r.plausible(math.MaxInt/2, d.enabled()-lost); err != nil {
		return nil, err
	}
	r.suspect = 0
	return list, nil
}

// meet reads somebody who signed in before the picture had them.
func (r *reader) meet(ctx context.Context, dn string) error {
	if r.groups == nil {
		return nil // everybody is about to be read
	}
	c, err := r.d.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	e, err := r.d.read(ctx, c, dn, r.d.cfg.Attributes.id)
	if err != nil || e == nil {
		return err
	}
	return r.refetch(ctx, c, []string{r.d.idOf(e)})
}

// earlier is a time of the directory some minutes before another: replicas hear of
// changes late.
func earlier(stamp string) string {
	const layout = "20060102150405Z"
	at, err := time.Parse(layout, stamp)
	if err != nil {
		return ""
	}
	return at.Add(-2 * time.Minute).Format(layout)
}
