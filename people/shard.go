package people

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Field is one property of a person, or several, by which people are found.
type Field uint16

// The properties that are searched.
const (
	FieldName Field = 1 << iota // as shown
	FieldGiven
	FieldFamily
	FieldID // the part of the address before the @
	FieldAddress
	FieldMail
	FieldPhone
	FieldTitle
	FieldDepartment
	FieldCompany
	fieldEnd
)

// FieldAny is all of them.
const FieldAny = fieldEnd - 1

// The order of results: names first, see rank.
const (
	className = iota
	classID
	classMail
	classPhone
	classOther
	classes
)

// classOf gives the best class of a set of fields.
var classOf = func() (table [fieldEnd]uint8) {
	for m := range fieldEnd {
		switch {
		case m&(FieldName|FieldGiven|FieldFamily) != 0:
			table[m] = className
		case m&(FieldID|FieldAddress) != 0:
			table[m] = classID
		case m&FieldMail != 0:
			table[m] = classMail
		case m&FieldPhone != 0:
			table[m] = classPhone
		default:
			table[m] = classOther
		}
	}
	return table
}()

// shard is an immutable index over some people, who stand in it in the order
// of their names: a smaller number comes first in results. Words are sorted, so
// those with a prefix are neighbours, and so are the people behind them.
type shard struct {
	pack
	byJID []uint32 // people in the order of their addresses

	words  string   // all of them, sorted, one behind the other
	wordAt []uint32 // where each begins, and the end of the last

	behindAt []uint32 // by word: where in behind its people begin, and the end
	behind   []uint32 // people
	behindIn []Field  // and where they have the word

	heavy map[heavyKey][]byte

	unitNames map[uint32]string // folded, by their number in shared

	unitsMu    sync.Mutex        // guards unitsBelow
	unitsBelow map[string][]bool // of some units asked for lately
}

// maxWords bounds the words of one person.
const maxWords = 96

// shardBuilder gathers people for a shard.
type shardBuilder struct {
	packer *packer
	number map[string]uint32 // by word
	list   []string          // words by number
	piece  *strings.Builder  // holds the last of them
	ofAt   []uint32          // by person: where in of the words begin
	of     []uint32          // words of a person
	ofIn   []Field           // and where they stand
	names  []string          // folded
}

func newShardBuilder(n int) *shardBuilder {
	return &shardBuilder{
		packer: newPacker(n), piece: &strings.Builder{}, number: make(map[string]uint32, 8*n),
		ofAt: make([]uint32, 0, n+1), of: make([]uint32, 0, 21*n), ofIn: make([]Field, 0, 21*n), names: make([]string, 0, n),
	}
}

func (b *shardBuilder) add(p Person) {
	b.packer.add(&p)
	b.ofAt = append(b.ofAt, uint32(len(b.of)))
	b.names = append(b.names, sortName(&p))
	name := FieldName
	if p.Given == "" && p.Family == "" {
		name |= FieldGiven | FieldFamily // either may be meant
	}
	b.text(name, p.Name)
	b.text(FieldGiven, p.Given)
	b.text(FieldFamily, p.Family)
	local := p.JID.Local()
	b.text(FieldID, local)
	b.word(FieldAddress, fold(p.JID.String()))
	for _, m := range p.Mail {
		m = fold(m)
		b.word(FieldMail, m)
		m, _, _ = strings.Cut(m, "@")
		eachWord(m, func(w string) { b.word(FieldMail, w) })
	}
	for _, text := range p.Phones {
		if number, ok := parsePhone(text); ok {
			number.words(func(w string) { b.word(FieldPhone, w) })
		}
	}
	b.text(FieldTitle, p.Title)
	b.text(FieldDepartment, p.Department)
	b.text(FieldCompany, p.Company)
}

// sortName is what people are put in order by.
func sortName(p *Person) string {
	if p.Name == "" {
		return fold(p.JID.Local())
	}
	return fold(p.Name)
}

// text adds the words of a text, in each spelling.
func (b *shardBuilder) text(in Field, s string) {
	if s == "" {
		return
	}
	folded := fold(s)
	eachWord(folded, func(w string) { b.word(in, w) })
	if strings.ContainsFunc(folded, joins) { // O'Brien is found as Brien, too
		eachWord(strings.Map(joinsToBlank, folded), func(w string) { b.word(in, w) })
	}
	if other := foldSpelled(s); other != folded {
		eachWord(other, func(w string) { b.word(in, w) })
	}
}

func joinsToBlank(r rune) rune {
	if joins(r) {
		return ' '
	}
	return r
}

func (b *shardBuilder) word(in Field, w string) {
	if w == "" {
		return
	}
	if len(w) > maxValue {
		w = cut(w)
	}
	n, ok := b.number[w]
	if !ok {
		n = uint32(len(b.list))
		w = b.keep(w)
		b.list, b.number[w] = append(b.list, w), n
	}
	mine := b.of[b.ofAt[len(b.ofAt)-1]:]
	if i := slices.Index(mine, n); i >= 0 {
		b.ofIn[len(b.of)-len(mine)+i] |= in
		return
	}
	if len(mine) < maxWords {
		b.of, b.ofIn = append(b.of, n), append(b.ofIn, in)
	}
}

// keep copies a word to where all are, many in one piece of memory.
func (b *shardBuilder) keep(w string) string {
	if b.piece.Cap()-b.piece.Len() < len(w) {
		b.piece = &strings.Builder{}
		b.piece.Grow(wordPiece)
	}
	at := b.piece.Len()
	b.piece.WriteString(w)
	return b.piece.String()[at:]
}

const wordPiece = 64 << 10

// build makes the shard; the builder is spent.
func (b *shardBuilder) build() *shard {
	b.number = nil
	n := len(b.names)
	order := ascending(n)
	slices.SortFunc(order, func(i, j uint32) int {
		return cmp.Or(cmp.Compare(b.names[i], b.names[j]), b.packer.jids[i].Compare(b.packer.jids[j]))
	})
	s := &shard{pack: b.packer.ordered(order)}
	s.byJID = ascending(n)
	slices.SortFunc(s.byJID, func(i, j uint32) int { return s.jids[i].Compare(s.jids[j]) })
	rank := s.setWords(b.list)
	b.list = nil
	s.join(b, order, rank)
	s.heavy = map[heavyKey][]byte{}
	s.setHeavy(0, uint32(len(s.wordAt)-1), 0)
	s.setUnits()
	return s
}

func ascending(n int) []uint32 {
	all := make([]uint32, n)
	for i := range all {
		all[i] = uint32(i)
	}
	return all
}

// setWords keeps the words sorted and returns the new number of each.
func (s *shard) setWords(list []string) (rank []uint32) {
	order := ascending(len(list))
	slices.SortFunc(order, func(i, j uint32) int { return strings.Compare(list[i], list[j]) })
	size := 0
	for _, w := range list {
		size += len(w)
	}
	var text strings.Builder
	text.Grow(size)
	rank, s.wordAt = make([]uint32, len(list)), make([]uint32, len(list)+1)
	for to, from := range order {
		rank[from], s.wordAt[to] = uint32(to), uint32(text.Len())
		text.WriteString(list[from])
	}
	s.wordAt[len(list)] = uint32(text.Len())
	s.words = text.String()
	return rank
}

// join puts people behind the words they have.
func (s *shard) join(b *shardBuilder, order, rank []uint32) {
	s.behindAt = make([]uint32, len(rank)+1)
	for i, w := range b.of {
		b.of[i] = rank[w]
		s.behindAt[rank[w]+1]++
	}
	for i := 1; i < len(s.behindAt); i++ {
		s.behindAt[i] += s.behindAt[i-1]
	}
	s.behind, s.behindIn = make([]uint32, len(b.of)), make([]Field, len(b.of))
	next := slices.Clone(s.behindAt)
	b.ofAt = append(b.ofAt, uint32(len(b.of)))
	for person, from := range order {
		for i := b.ofAt[from]; i < b.ofAt[from+1]; i++ {
			at := next[b.of[i]]
			next[b.of[i]]++
			s.behind[at], s.behindIn[at] = uint32(person), b.ofIn[i]
		}
	}
}

func (s *shard) word(i uint32) string { return s.words[s.wordAt[i]:s.wordAt[i+1]] }

// starting returns the words that begin with prefix, from lo up to hi.
func (s *shard) starting(prefix string) (lo, hi uint32) {
	n := len(s.wordAt) - 1
	from := sort.Search(n, func(i int) bool { return s.word(uint32(i)) >= prefix })
	rest := sort.Search(n-from, func(i int) bool { return !strings.HasPrefix(s.word(uint32(from+i)), prefix) })
	return uint32(from), uint32(from + rest)
}
