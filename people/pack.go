package people

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/deskline/deskline/xmpp/jid"
)

// pack keeps people as one text: 100,000 of them are a few objects to the
// collector instead of two million. What many have in common, such as a
// department, is kept once. What is unpacked points into the text.
type pack struct {
	jids   []jid.JID
	text   string
	at     []uint32 // where each begins in text
	units  []uint32 // the unit of each, in shared
	shared []string // what many have in common
}

// packer makes a pack.
type packer struct {
	text   []byte
	at     []uint32
	units  []uint32
	jids   []jid.JID
	shared []string
	number map[string]uint32
}

func newPacker(n int) *packer {
	return &packer{
		at: make([]uint32, 0, n), units: make([]uint32, 0, n), jids: make([]jid.JID, 0, n), number: map[string]uint32{},
	}
}

// add appends a person that is bound.
func (w *packer) add(p *Person) {
	w.at = append(w.at, uint32(len(w.text)))
	w.jids = append(w.jids, p.JID)
	w.units = append(w.units, w.share(p.Unit))
	for _, s := range []string{p.Name, p.Given, p.Family, p.ID} {
		w.string(s)
	}
	w.list(p.Mail)
	w.list(p.Phones)
	for _, s := range []string{p.Title, p.Department, p.Company, p.Unit, p.Entity} {
		w.text = binary.AppendUvarint(w.text, uint64(w.share(s)))
	}
	photo := byte(0)
	if p.Photo {
		photo = 1
	}
	w.text = append(w.text, photo)
}

func (w *packer) string(s string) {
	w.text = binary.AppendUvarint(w.text, uint64(len(s)))
	w.text = append(w.text, s...)
}

func (w *packer) list(all []string) {
	w.text = binary.AppendUvarint(w.text, uint64(len(all)))
	for _, s := range all {
		w.string(s)
	}
}

func (w *packer) share(s string) uint32 {
	n, ok := w.number[s]
	if !ok {
		n = uint32(len(w.shared))
		s = strings.Clone(s)
		w.shared, w.number[s] = append(w.shared, s), n
	}
	return n
}

// ordered returns the pack with its people in another order.
func (w *packer) ordered(order []uint32) pack {
	p := pack{
		jids: make([]jid.JID, len(order)), at: make([]uint32, len(order)), units: make([]uint32, len(order)), shared: w.shared,
	}
	size := len(w.text)
	for _, j := range w.jids {
		size += len(j.String())
	}
	var b strings.Builder
	b.Grow(size)
	for to, from := range order {
		end := uint32(len(w.text))
		if int(from)+1 < len(w.at) {
			end = w.at[from+1]
		}
		p.units[to], p.jids[to] = w.units[from], w.jids[from]
		b.WriteString(w.jids[from].String())
		p.at[to] = uint32(b.Len())
		b.Write(w.text[w.at[from]:end])
	}
	p.text = b.String()
	for i, j := range p.jids {
		// The address as a part of the text, so that none is kept by itself.
		if same, err := jid.Parse(p.text[int(p.at[i])-len(j.String()) : p.at[i]]); err == nil && same == j {
			p.jids[i] = same
		}
	}
	return p
}

// same reports whether a person that is bound is the one packed.
func (p *pack) same(i uint32, o *Person) bool {
	q := p.person(i)
	return q.JID == o.JID && q.ID == o.ID && q.Name == o.Name && q.Given == o.Given && q.Family == o.Family &&
		slices.Equal(q.Mail, o.Mail) && slices.Equal(q.Phones, o.Phones) && q.Title == o.Title && q.Department == o.Department &&
		q.Company == o.Company && q.Unit == o.Unit && q.Entity == o.Entity && q.Photo == o.Photo
}

func (p *pack) len() int { return len(p.jids) }

// person unpacks one.
func (p *pack) person(i uint32) Person {
	r := unpacker{text: p.text, at: int(p.at[i]), shared: p.shared}
	one := Person{JID: p.jids[i], Enabled: true}
	one.Name, one.Given, one.Family, one.ID = r.string(), r.string(), r.string(), r.string()
	one.Mail, one.Phones = r.list(), r.list()
	one.Title, one.Department, one.Company = r.common(), r.common(), r.common()
	one.Unit, one.Entity = r.common(), r.common()
	one.Photo = r.text[r.at] == 1
	return one
}

// name unpacks the name alone.
func (p *pack) name(i uint32) string {
	r := unpacker{text: p.text, at: int(p.at[i])}
	return r.string()
}

type unpacker struct {
	text   string
	at     int
	shared []string
}

func (r *unpacker) number() uint64 {
	var n uint64
	for shift := 0; ; shift += 7 {
		c := r.text[r.at]
		r.at++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
}

func (r *unpacker) string() string {
	n := int(r.number())
	s := r.text[r.at : r.at+n]
	r.at += n
	return s
}

func (r *unpacker) list() []string {
	n := int(r.number())
	if n == 0 {
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = r.string()
	}
	return all
}

func (r *unpacker) common() string { return r.shared[r.number()] }

// Bounds of what is kept of one person; directories hold anything.
const (
	maxValue  = 512 // bytes of one text
	maxValues = 8   // addresses and numbers each
)

// bound cuts a person to what is reasonable.
func (p *Person) bound() {
	for _, s := range []*string{&p.Name, &p.Given, &p.Family, &p.ID, &p.Title, &p.Department, &p.Company, &p.Entity} {
		*s = cut(*s)
	}
	p.Unit = cutTo(p.Unit, 4*maxValue)
	p.Mail, p.Phones = boundList(p.Mail), boundList(p.Phones)
}

func boundList(all []string) []string {
	out := make([]string, 0, min(len(all), maxValues))
	for _, s := range all {
		if s = cut(s); s != "" && len(out) < maxValues {
			out = append(out, s)
		}
	}
	return out
}

func cut(s string) string { return cutTo(s, maxValue) }

func cutTo(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}
