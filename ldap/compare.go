package ldap

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// few is how many people are compared at each refresh. Of more, only those who
	// are signed in are, and all at every wholeEvery-th.
	few        = 5000
	wholeEvery = 10
)

// sample is whom a comparison is about: all, or some in batches of filters.
type sample struct {
	whole   bool
	some    ids
	filters []string
}

func (s sample) has(id string) bool { return s.whole || s.some.has(id) }

// sample decides whom to compare now.
func (r *reader) sample() sample {
	d := r.d
	all := sample{whole: true, filters: []string{""}}
	count, _, _, _ := d.people.counts()
	if d.cfg.Present == nil || count <= few || time.Since(r.compared) >= wholeEvery*d.Settings().Refresh {
		return all
	}
	now := sample{some: ids{}}
	var list []string
	for _, j := range d.cfg.Present() {
		if one, known, _ := d.people.person(j); known && !now.some.has(one.id) {
			now.some[one.id] = struct{}{}
			list = append(list, one.id)
		}
	}
	if len(list) > few {
		return all
	}
	for part := range slices.Chunk(list, batch) {
		restrict := d.withIDs(part)
		if restrict == "" {
			return all
		}
		now.filters = append(now.filters, restrict)
	}
	return now
}

// moved compares who is there, and for whom the filter and the groups are true, with
// the picture: neither deletions nor what a server computes show as changes.
func (r *reader) moved(ctx context.Context, c *conn) ([]string, error) {
	now := r.sample()
	var list []string
	if r.sync == nil {
		gone, err := r.gone(ctx, c, now)
		if err != nil {
			return nil, err
		}
		list = gone
	}
	other, err := r.otherwise(ctx, c, now)
	if err != nil {
		return nil, err
	}
	r.suspect = 0
	if now.whole {
		r.compared = time.Now()
	}
	return append(list, other...), nil
}

// gone returns who is there no longer or, if all are compared, not known yet.
func (r *reader) gone(ctx context.Context, c *conn, now sample) ([]string, error) {
	d := r.d
	there := ids{}
	for _, restrict := range now.filters {
		part, err := d.listing(ctx, c, all(d.Settings().Filter, restrict))
		if err != nil {
			return nil, err
		}
		for id := range part {
			there[id] = struct{}{}
		}
	}
	of := 0
	list := d.people.ids(func(x *record) bool {
		if !now.has(x.id) {
			return false
		}
		of++
		return !there.has(x.id)
	})
	if err := r.doubt(len(list), of); err != nil {
		return nil, err
	}
	for id := range there {
		if _, known := d.people.byid(id); !known {
			list = append(list, id)
		}
	}
	return list, nil
}

// otherwise returns for whom the filter and the groups that the server follows have
// become true or untrue.
func (r *reader) otherwise(ctx context.Context, c *conn, now sample) ([]string, error) {
	d := r.d
	f := facts{}
	for _, restrict := range now.filters {
		part, err := d.allowance(ctx, c, restrict)
		if err != nil {
			return nil, err
		}
		f = f.with(part)
	}
	if f.filter == nil && f.chain == nil {
		return nil, nil
	}
	of, lost := 0, 0
	list := d.people.ids(func(x *record) bool {
		if !now.has(x.id) {
			return false
		}
		allowed := f.allow(x.id)
		if x.why == "" {
			of++
			if !allowed {
				lost++
			}
		}
		return x.allowed != allowed
	})
	return list, r.doubt(lost, of)
}

// doubt is plausible for a part of the people.
func (r *reader) doubt(lost, of int) error {
	if of < 4 || 2*lost <= of || r.suspect > 0 {
		return nil
	}
	r.suspect = of
	return fmt.Errorf("%w: %d of %d are left", errShrunk, of-lost, of)
}
