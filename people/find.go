package people

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sync"
)

// Scores of one term: the class of the field it is found in, and more if the
// word goes on behind what was typed. Less is better.
const (
	unfinished = classes     // added for a word that goes on
	twice      = 2 * classes // added for a word that stands for a longer term already
	maxScore   = (4*classes - 1) * MaxQueryWords
)

// A mark says of one person how one term fits: 0 = not at all, else the score
// plus 1, and whether several words do.
const (
	markScore   = 0x7f
	markSeveral = 0x80
)

// span are the words that begin with one prefix of a term.
type span struct {
	lo, hi uint32
	whole  uint32 // the prefix itself, if it is a word
}

func (x span) covers(o span) bool { return x.lo <= o.lo && o.hi <= x.hi }

// found is a term as one shard has it.
type found struct {
	in      Field
	spans   []span
	cost    int  // people behind the words
	shadows bool // another term is the same word typed further
	marks   []byte
	pooled  *[]byte // to be put back, nil = not ours
}

// lookUp finds the words of each term, the rarest first, and who has them; ok is
// false if nobody can have all. The marks are to be released.
func (s *shard) lookUp(terms []Term) (all []found, ok bool) {
	all = make([]found, 0, len(terms))
	for _, t := range terms {
		f := found{in: t.in}
		for _, p := range t.prefixes {
			lo, hi := s.starting(p)
			if lo == hi {
				continue
			}
			x := span{lo, hi, math.MaxUint32}
			// A single letter is the beginning of a name, not the whole initial.
			if len(p) > 1 && s.word(lo) == p {
				x.whole = lo
			}
			f.spans = append(f.spans, x)
			f.cost += s.weight(lo, hi)
		}
		if f.cost == 0 {
			return nil, false
		}
		all = append(all, f)
	}
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.cost, b.cost) })
	for i := range all {
		all[i].shadows = slices.ContainsFunc(all[:i], all[i].covers)
		s.setMarks(&all[i])
	}
	return all, len(all) > 0
}

// weight is the number of people behind words, each as often as they have one.
func (s *shard) weight(lo, hi uint32) int { return int(s.behindAt[hi] - s.behindAt[lo]) }

func (f *found) covers(o found) bool {
	return slices.ContainsFunc(f.spans, func(x span) bool { return slices.ContainsFunc(o.spans, x.covers) })
}

var marksPool = sync.Pool{New: func() any { return new([]byte) }}

// setMarks marks who has the term.
func (s *shard) setMarks(f *found) {
	if x := f.spans[0]; len(f.spans) == 1 && f.in == FieldAny && x.whole == math.MaxUint32 {
		if f.marks = s.heavy[heavyKey{x.lo, x.hi}]; f.marks != nil {
			return
		}
	}
	f.pooled = marksPool.Get().(*[]byte)
	if n := s.marksLen(); cap(*f.pooled) < n {
		*f.pooled = make([]byte, n)
	} else {
		*f.pooled = (*f.pooled)[:n]
		clear(*f.pooled)
	}
	f.marks = *f.pooled
	for _, x := range f.spans {
		known := s.heavy[heavyKey{x.lo, x.hi}]
		if known == nil || f.in != FieldAny {
			s.fill(f.marks, x.lo, x.hi, f.in, unfinished)
		} else {
			merge(f.marks, known)
		}
		if x.whole != math.MaxUint32 {
			s.fill(f.marks, x.whole, x.whole+1, f.in, 0)
		}
	}
}

// marksLen is a multiple of 8, so that a sweep takes 8 at a time.
func (s *shard) marksLen() int { return (s.len() + 7) &^ 7 }

func merge(marks, more []byte) {
	for i, m := range more {
		switch old := marks[i]; {
		case old == 0 || m == 0:
			marks[i] = old | m
		default:
			marks[i] = min(old&markScore, m&markScore) | markSeveral
		}
	}
}

// fill marks those behind some words.
func (s *shard) fill(marks []byte, lo, hi uint32, in Field, more uint8) {
	last := uint32(math.MaxUint32) // a word that was counted as unfinished before
	if more == 0 {
		last = lo
	}
	for i := s.behindAt[lo]; i < s.behindAt[hi]; i++ {
		where := s.behindIn[i] & in
		if where == 0 {
			continue
		}
		at, mark := &marks[s.behind[i]], classOf[where]+more+1
		switch old := *at; {
		case old == 0:
			*at = mark
		case last == lo:
			*at = min(old&markScore, mark) | old&markSeveral
		default:
			*at = min(old&markScore, mark) | markSeveral
		}
	}
}

func release(terms []found) {
	for i := range terms {
		if terms[i].pooled != nil {
			marksPool.Put(terms[i].pooled)
		}
	}
}

// score of a person for all terms; false if one is missing.
func score(terms []found, person uint32) (sum int, ok bool) {
	for i := range terms {
		m := terms[i].marks[person]
		if m == 0 {
			return 0, false
		}
		sum += int(m&markScore) - 1
		if terms[i].shadows && m&markSeveral == 0 {
			sum += twice
		}
	}
	return sum, true
}

// Words that very many people have are marked when the shard is made, once for
// all prefixes that come to the same words.
type heavyKey struct{ lo, hi uint32 }

var heavyLeast = 1024 // people behind words that are marked at all; changed by tests alone

const (
	heavyShare = 10  // of all people: one in so many has such a word
	heavyMost  = 100 // kinds of words that are marked
)

// setHeavy marks those behind the words between lo and hi, which have n letters
// in common, and behind each part of them with one letter more.
func (s *shard) setHeavy(lo, hi uint32, n int) {
	for lo < hi {
		if len(s.word(lo)) <= n {
			lo++ // nothing more to type
			continue
		}
		prefix := s.word(lo)[:n+1]
		_, end := s.starting(prefix)
		if s.weight(lo, end) >= max(heavyLeast, s.len()/heavyShare) && len(s.heavy) < heavyMost {
			key := heavyKey{lo, end}
			if s.heavy[key] == nil {
				marks := make([]byte, s.marksLen())
				s.fill(marks, lo, end, FieldAny, unfinished)
				s.heavy[key] = marks
			}
			s.setHeavy(lo, end, n+1)
		}
		lo = end
	}
}

// place is where a result stands in the order: by score, then by person.
type place struct {
	score  int
	person uint32
}

// sweep is one way over all people that have marks, in the order of names.
type sweep struct {
	terms []found
	may   func(person uint32) bool
	most  int  // results wanted
	back  bool // the last ones instead of the first
	// If bounded, results are behind from, or before it when going back. If open,
	// the person of from was not in this shard and stands before that number.
	bounded, open bool
	from          place

	lists [maxScore + 1][]uint32 // by score, counted from the end when going back
	worst int                    // a score from which on nothing is wanted any more
}

var sweepPool = sync.Pool{New: func() any { return new(sweep) }}

// run returns the places of the results, in the order of the sweep.
func (w *sweep) run() []place {
	marks := w.terms[0].marks
	w.worst = maxScore + 1
	blocks := len(marks) / 8
	for b := range blocks {
		if w.back {
			b = blocks - 1 - b
		}
		if binary.LittleEndian.Uint64(marks[8*b:]) == 0 {
			continue
		}
		for i := range 8 {
			if w.back {
				i = 7 - i
			}
			// The score of one term alone may be too bad for the sum.
			if m := marks[8*b+i]; m != 0 && (w.back || int(m&markScore) <= w.worst) {
				w.visit(uint32(8*b + i))
			}
		}
		if w.worst == 0 {
			break
		}
	}
	return w.places()
}

func (w *sweep) visit(person uint32) {
	sum, ok := score(w.terms, person)
	if !ok {
		return
	}
	at := sum
	if w.back {
		at = maxScore - sum
	}
	if at >= w.worst || !w.wanted(place{sum, person}) || !w.may(person) {
		return
	}
	w.lists[at] = append(w.lists[at], person)
	for n, i := 0, 0; i < w.worst; i++ {
		if n += len(w.lists[i]); n >= w.most {
			w.worst = i // the others of this score come later in any case
			break
		}
	}
}

func (w *sweep) wanted(p place) bool {
	if !w.bounded {
		return true
	}
	order := cmp.Or(cmp.Compare(p.score, w.from.score), cmp.Compare(p.person, w.from.person))
	if order == 0 && w.open {
		order = 1
	}
	return order > 0 && !w.back || order < 0 && w.back
}

func (w *sweep) places() []place {
	all := make([]place, 0, w.most)
	for at := range w.lists {
		for _, person := range w.lists[at] {
			if len(all) == w.most {
				return all
			}
			p := place{at, person}
			if w.back {
				p.score = maxScore - at
			}
			all = append(all, p)
		}
	}
	return all
}

// release puts a sweep back for the next search.
func (w *sweep) release() {
	for i := range w.lists {
		w.lists[i] = w.lists[i][:0]
	}
	w.terms, w.may, w.bounded = nil, nil, false
	sweepPool.Put(w)
}
