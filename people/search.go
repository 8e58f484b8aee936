package people

import (
	"cmp"
	"errors"
	"slices"
	"sort"
	"unsafe"

	"github.com/deskline/deskline/xmpp/jid"
)

// ErrNoPlace says that the person a page begins behind is not among the results
// any more.
var ErrNoPlace = errors.New("nobody of that address is among the results")

// Query is a search.
type Query struct {
	Terms []Term
	// Domains are those searched; nil = all.
	Domains []string
	// Units are DNs; only people at or below all of them are found.
	Units []string
	// May says who is to be found at all; nil = everybody. It is asked for each
	// candidate, so it must not wait.
	May  func(person jid.JID) bool
	Most int // people wanted, at least 1
	// After or Before is the person behind, or before, whom the results are
	// wanted; Last wants the last ones.
	After, Before jid.JID
	Last          bool
}

// Result is a page of what was found.
type Result struct {
	People []Person
	More   bool // there are others in the direction of the query
}

// hit is a person found, in a shard.
type hit struct {
	s     *shard
	place place
	name  string
}

func (h *hit) compare(o *hit) int {
	return cmp.Or(cmp.Compare(h.place.score, o.place.score), cmp.Compare(h.name, o.name), h.jid().Compare(o.jid()))
}

func (h *hit) jid() jid.JID { return h.s.jids[h.place.person] }

// line are the results of one shard in their order, of which head is the next.
type line struct {
	s    *shard
	rest []place
	head *hit // nil = no more
}

func (l *line) step() {
	l.head = nil
	if len(l.rest) > 0 {
		l.head = l.s.hit(l.rest[0])
		l.rest = l.rest[1:]
	}
}

// Search finds people. Whole words come before those that go on, names before
// addresses, mail and telephone, then the order is that of names.
func (x *Index) Search(q Query) (Result, error) {
	if len(q.Terms) == 0 || len(q.Terms) > MaxQueryWords || q.Most < 1 {
		return Result{}, nil
	}
	layers := *x.state.Load()
	if q.Domains != nil {
		layers = slices.DeleteFunc(slices.Clone(layers), func(l layer) bool { return !slices.Contains(q.Domains, l.domain) })
	}
	from, err := q.begin(layers)
	if err != nil {
		return Result{}, err
	}
	var lines []*line
	for i := range layers {
		layers[i].shards(func(s *shard, gone bitset) bool {
			if places := q.in(s, gone, from); len(places) > 0 {
				l := &line{s: s, rest: places}
				l.step()
				lines = append(lines, l)
			}
			return true
		})
	}
	return q.merge(lines), nil
}

// merge takes from the lines, whoever is next.
func (q *Query) merge(lines []*line) (r Result) {
	for {
		var next *line
		for _, l := range lines {
			if l.head == nil {
				continue
			}
			if next == nil || (l.head.compare(next.head) < 0) != q.back() {
				next = l
			}
		}
		if next == nil || len(r.People) == q.Most {
			r.More = next != nil
			break
		}
		r.People = append(r.People, next.s.person(next.head.place.person))
		next.step()
	}
	if q.back() {
		slices.Reverse(r.People)
	}
	return r
}

func (q *Query) back() bool { return q.Last || !q.Before.IsZero() }

// begin finds the person named by After or Before.
func (q *Query) begin(layers []layer) (*hit, error) {
	who := q.After
	if q.back() {
		who = q.Before
	}
	if who.IsZero() {
		return nil, nil
	}
	var begin *hit
	for i := range layers {
		layers[i].shards(func(s *shard, gone bitset) bool {
			person, ok := s.find(who)
			if ok && !gone.has(person) {
				begin = q.hit(s, person)
			}
			return begin == nil
		})
	}
	if begin == nil {
		return nil, ErrNoPlace
	}
	return begin, nil
}

// hit returns somebody as a result, or nil. Whoever may not be seen is answered
// for as somebody unknown.
func (q *Query) hit(s *shard, person uint32) *hit {
	terms, ok := s.lookUp(q.Terms)
	if !ok {
		return nil
	}
	defer release(terms)
	sum, ok := score(terms, person)
	if !ok || q.May != nil && !q.May(s.jids[person]) {
		return nil
	}
	return s.hit(place{sum, person})
}

func (s *shard) hit(p place) *hit {
	return &hit{s: s, place: p, name: s.sortName(p.person)}
}

func (s *shard) sortName(i uint32) string {
	return sortName(&Person{Name: s.name(i), JID: s.jids[i]})
}

// in finds people in one shard.
func (q *Query) in(s *shard, gone bitset, from *hit) []place {
	terms, ok := s.lookUp(q.Terms)
	if !ok {
		return nil
	}
	below := make([][]bool, len(q.Units))
	for i, u := range q.Units {
		below[i] = s.below(u)
	}
	defer release(terms)
	w := sweepPool.Get().(*sweep)
	defer w.release()
	w.terms, w.most, w.back = terms, q.Most+1, q.back()
	w.may = func(person uint32) bool {
		for _, is := range below {
			if !is[s.units[person]] {
				return false
			}
		}
		return !gone.has(person) && (q.May == nil || q.May(s.jids[person]))
	}
	if from != nil {
		w.from, w.open = place{from.place.score, s.position(from)}, s != from.s
		w.bounded = true
	}
	return w.run()
}

// position is where somebody of any shard would stand in this one.
func (s *shard) position(h *hit) uint32 {
	if h.s == s {
		return h.place.person
	}
	return uint32(sort.Search(s.len(), func(i int) bool {
		return cmp.Or(cmp.Compare(s.sortName(uint32(i)), h.name), s.jids[i].Compare(h.jid())) >= 0
	}))
}

// bytes is the memory a shard takes, about.
func (s *shard) bytes() int {
	shared := 0
	for _, t := range s.shared {
		shared += len(t) + int(unsafe.Sizeof(t))
	}
	const word, field, address = 4, 2, int(unsafe.Sizeof(jid.JID{}))
	return len(s.text) + len(s.words) + shared + address*len(s.jids) +
		len(s.heavy)*s.marksLen() +
		word*(len(s.at)+len(s.units)+len(s.byJID)+len(s.wordAt)+len(s.behindAt)+len(s.behind)) +
		field*len(s.behindIn)
}
