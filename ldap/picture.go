package ldap

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

// record is what stays in memory of a person.
type record struct {
	jid     jid.JID
	id      string
	dn      string
	why     string // "" = may use chat
	sum     uint64 // of all that sinks were told
	stamp   uint64
	allowed bool // as far as the filter and the groups that the server follows say
	recheck bool
}

// keys are what groups have of the person.
func (r *record) keys() []key { return []key{dnKey(r.dn), uidKey(unescapeLocal(r.jid.Local()))} }

// picture is everybody, as last read.
type picture struct {
	mu       sync.RWMutex // guards what follows
	byID     map[string]*record
	byJID    map[jid.JID]*record
	enabled  int
	complete bool      // everybody was read at least once
	read     time.Time // when the servers were last heard from
	full     time.Time // when everybody was last read
	// fresh are people who signed in and were not in the picture then.
	fresh map[jid.JID]time.Time
}

func (p *picture) init() {
	p.byID, p.byJID, p.fresh = map[string]*record{}, map[jid.JID]*record{}, map[jid.JID]time.Time{}
}

// person finds somebody.
func (p *picture) person(j jid.JID) (r record, known, complete bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found, ok := p.byJID[j]; ok {
		return *found, true, p.complete
	}
	return record{}, false, p.complete
}

func (p *picture) byid(id string) (record, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if found, ok := p.byID[id]; ok {
		return *found, true
	}
	return record{}, false
}

// replace puts everybody in place of those before.
func (p *picture) replace(next *picture) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byID, p.byJID, p.enabled = next.byID, next.byJID, next.enabled
	p.complete, p.read, p.full = true, time.Now(), time.Now()
	for j := range p.fresh {
		if _, known := p.byJID[j]; known {
			delete(p.fresh, j)
		}
	}
}

// add enters somebody, unless the address is another's.
func (p *picture) add(r record) bool {
	if old, ok := p.byJID[r.jid]; ok && old.id != r.id {
		return false
	}
	p.forget(r.id)
	p.byID[r.id], p.byJID[r.jid] = &r, &r
	delete(p.fresh, r.jid)
	if r.why == "" {
		p.enabled++
	}
	return true
}

func (p *picture) forget(id string) {
	old, ok := p.byID[id]
	if !ok {
		return
	}
	if old.why == "" {
		p.enabled--
	}
	delete(p.byID, id)
	delete(p.byJID, old.jid)
}

// put takes in one who is new or different and returns the address that the same
// person had before, if it was another.
func (p *picture) put(r record) (was jid.JID, taken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, ok := p.byID[r.id]; ok && old.jid != r.jid {
		was = old.jid
	}
	return was, !p.add(r)
}

// drop takes somebody out and returns the address.
func (p *picture) drop(id string) (jid.JID, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, ok := p.byID[id]
	if !ok {
		return jid.JID{}, false
	}
	p.forget(id)
	return old.jid, true
}

// heard notes that the servers answered.
func (p *picture) heard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = time.Now()
}

// ids returns those of people for whom keep holds.
func (p *picture) ids(keep func(*record) bool) []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var list []string
	for id, r := range p.byID {
		if keep(r) {
			list = append(list, id)
		}
	}
	return list
}

// counts are the figures of the moment.
func (p *picture) counts() (all, enabled int, complete bool, read time.Time) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.byID), p.enabled, p.complete, p.read
}

// welcome notes somebody who signed in before the picture had them.
func (p *picture) welcome(j jid.JID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	const most = 10000
	if len(p.fresh) < most {
		p.fresh[j] = time.Now()
	}
}

func (p *picture) isFresh(j jid.JID, within time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.fresh[j]
	if ok && time.Since(at) > within {
		delete(p.fresh, j)
		return false
	}
	return ok
}

// sum is the same for two people of whom the same is told.
func sum(p people.Person) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	text := func(s string) {
		_, _ = h.WriteString(s) // never fails
		_ = h.WriteByte(0)
	}
	for _, s := range []string{p.JID.String(), p.ID, p.Name, p.Given, p.Family, p.Title, p.Department, p.Company, p.Unit, p.Entity, p.Why} {
		text(s)
	}
	for _, list := range [][]string{p.Mail, p.Phones, p.Lines, p.Groups} {
		for _, s := range list {
			text(s)
		}
		text("\x01")
	}
	if p.Photo {
		text("photo")
	}
	if p.Enabled {
		text("enabled")
	}
	return h.Sum64()
}
