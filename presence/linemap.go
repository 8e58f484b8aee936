package presence

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

// LineMap knows whose a telephone line is: by a list of the administrator, by the
// numbers of people, or by their names. Safe for concurrent use.
type LineMap struct {
	domain string

	mu      sync.RWMutex // guards all below; the slices are not changed
	fixed   map[string][]jid.JID
	rules   Numbers
	names   map[string][]jid.JID            // by lines that are no numbers
	numbers map[string][]jid.JID            // by the whole number
	ends    map[string]map[jid.JID]string   // by the extension: people, and the whole number
	people  map[string]map[jid.JID][]string // by source: their lines as written
	changed []func()
}

// maxNumbers is how many numbers of one person count.
const maxNumbers = 16

// NewLineMap returns a map in which names without a domain are of the one given.
func NewLineMap(domain string) *LineMap {
	return &LineMap{
		domain: domain, names: map[string][]jid.JID{}, numbers: map[string][]jid.JID{}, ends: map[string]map[jid.JID]string{}, people: map[string]map[jid.JID][]string{},
	}
}

// OnChange has f called after lines may belong to others. It is called before the
// first use; f must not wait.
func (m *LineMap) OnChange(f func()) { m.changed = append(m.changed, f) }

func (m *LineMap) tell() {
	for _, f := range m.changed {
		f()
	}
}

// SetFixed says whose some lines are, whatever numbers people have. The key of a line is
// what LineKey returns.
func (m *LineMap) SetFixed(fixed map[string][]jid.JID) {
	m.mu.Lock()
	m.fixed = fixed
	m.mu.Unlock()
	m.tell()
}

// SetNumbers says how numbers are written.
func (m *LineMap) SetNumbers(rules Numbers) {
	m.mu.Lock()
	m.rules = rules
	m.rebuild()
	m.mu.Unlock()
	m.tell()
}

// Numbers returns how numbers are written.
func (m *LineMap) Numbers() Numbers {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.rules
}

// rebuild makes the indexes anew. It is called with the lock held.
func (m *LineMap) rebuild() {
	clear(m.names)
	clear(m.numbers)
	clear(m.ends)
	for _, of := range m.people {
		for user, list := range of {
			m.add(user, list)
		}
	}
}

// LineKey writes a line as it is compared: without scheme, parameters, and the signs that
// people put into numbers.
func LineKey(line string) string {
	line = strings.TrimSpace(line)
	for _, scheme := range []string{"sip:", "sips:", "tel:", "xmpp:"} {
		if len(line) > len(scheme) && strings.EqualFold(line[:len(scheme)], scheme) {
			line = line[len(scheme):]
			break
		}
	}
	line, _, _ = strings.Cut(line, ";")
	line, _, _ = strings.Cut(line, "?")
	if strings.Trim(line, "+0123456789 ()-./") == "" {
		line = strings.Map(func(r rune) rune {
			if r == '+' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, line)
	}
	return strings.ToLower(line)
}

// Users returns whose a line is, in no order; a line nobody has is of none. The list
// is shared and must not be changed.
func (m *LineMap) Users(line string) []jid.JID {
	key := LineKey(line)
	m.mu.RLock()
	defer m.mu.RUnlock()
	if users, ok := m.fixed[key]; ok {
		return users
	}
	user, host, _ := strings.Cut(key, "@")
	if host != "" {
		if users, ok := m.fixed[user]; ok {
			return users
		}
	}
	for _, name := range []string{key, user} {
		if users := m.names[name]; len(users) > 0 {
			return users
		}
	}
	if users := m.byNumber(user); len(users) > 0 {
		return users
	}
	for _, domain := range []string{host, m.domain} {
		if j, err := jid.New(user, domain, ""); err == nil && j.Local() != "" && m.known(j) {
			return []jid.JID{j}
		}
	}
	return nil
}

func (m *LineMap) byNumber(number string) []jid.JID {
	whole, _, ok := m.rules.Keys(number)
	if !ok || strings.Trim(number, "+0123456789") != "" {
		return nil
	}
	if users := m.numbers[whole]; len(users) > 0 {
		return users
	}
	// An extension may be of several houses; then it says nothing.
	var users []jid.JID
	same := ""
	for user, of := range m.ends[number] {
		if same != "" && same != of {
			return nil
		}
		same, users = of, append(users, user)
	}
	return users
}

func (m *LineMap) known(j jid.JID) bool {
	for _, of := range m.people {
		if _, ok := of[j]; ok {
			return true
		}
	}
	return false
}

// Sink takes the people of one source.
func (m *LineMap) Sink(source string) people.Sink { return lineSink{m, source} }

type lineSink struct {
	m      *LineMap
	source string
}

// Replace implements people.Sink.
func (s lineSink) Replace(_ context.Context, all iter.Seq2[people.Person, error]) error {
	next := map[jid.JID][]string{}
	for p, err := range all {
		if err != nil {
			return err
		}
		if p.Enabled {
			next[p.JID] = linesOf(p)
		}
	}
	m := s.m
	m.mu.Lock()
	m.people[s.source] = next
	m.rebuild()
	m.mu.Unlock()
	m.tell()
	return nil
}

func linesOf(p people.Person) []string {
	list := p.Lines
	if list == nil {
		list = p.Phones
	}
	return slices.Clone(list[:min(len(list), maxNumbers)])
}

// isNumber tells numbers from SIP addresses and names of lines.
func isNumber(text string) bool {
	text = strings.TrimSpace(text)
	if len(text) > 4 && strings.EqualFold(text[:4], "tel:") {
		return true
	}
	return text != "" && !strings.ContainsRune(text, '@') && (strings.ContainsRune(text, ' ') || strings.ContainsRune("+(", rune(text[0])) || text[0] >= '0' && text[0] <= '9')
}

// Change implements people.Sink.
func (s lineSink) Change(_ context.Context, put []people.Person, gone []jid.JID) error {
	m := s.m
	m.mu.Lock()
	of := m.people[s.source]
	if of == nil {
		of = map[jid.JID][]string{}
		m.people[s.source] = of
	}
	for _, user := range gone {
		m.remove(user, of[user])
		delete(of, user)
	}
	for _, p := range put {
		m.remove(p.JID, of[p.JID])
		delete(of, p.JID)
		if p.Enabled {
			of[p.JID] = linesOf(p)
			m.add(p.JID, of[p.JID])
		}
	}
	m.mu.Unlock()
	m.tell()
	return nil
}

func (m *LineMap) add(user jid.JID, list []string) {
	for _, text := range list {
		if !isNumber(text) {
			put(m.names, LineKey(text), user)
			continue
		}
		whole, extension, ok := m.rules.Keys(text)
		if !ok {
			continue
		}
		put(m.numbers, whole, user)
		if extension == "" {
			continue
		}
		if m.ends[extension] == nil {
			m.ends[extension] = map[jid.JID]string{}
		}
		m.ends[extension][user] = whole
	}
}

func (m *LineMap) remove(user jid.JID, list []string) {
	for _, text := range list {
		if !isNumber(text) {
			drop(m.names, LineKey(text), user)
			continue
		}
		whole, extension, ok := m.rules.Keys(text)
		if !ok {
			continue
		}
		drop(m.numbers, whole, user)
		if delete(m.ends[extension], user); len(m.ends[extension]) == 0 {
			delete(m.ends, extension)
		}
	}
}

// put adds a user to a list that may be shared.
func put(all map[string][]jid.JID, key string, user jid.JID) {
	if key != "" && !slices.Contains(all[key], user) {
		all[key] = append(slices.Clone(all[key]), user)
	}
}

// drop takes a user from a list that may be shared.
func drop(all map[string][]jid.JID, key string, user jid.JID) {
	rest := slices.DeleteFunc(slices.Clone(all[key]), func(j jid.JID) bool { return j == user })
	if all[key] = rest; len(rest) == 0 {
		delete(all, key)
	}
}
