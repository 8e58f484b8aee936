package presence

import (
	"time"

	"github.com/deskline/deskline/xmpp/stanza"
)

// NSComposed is the namespace of composed presence.
const NSComposed = "urn:deskline:presence:1"

var composedName = stanza.Name{Space: NSComposed, Local: "composed"}

// told is a state as contacts and own resources are told of it. It is not changed;
// the nil told stands for what the resources say.
type told struct {
	State
	text  string
	said  string // the text, if the user chose it
	label Name   // the name, if somebody other than the resource says so
	xml   []byte // <composed/> for contacts
	own   []byte // <composed/> for the own resources, with the sources
}

func newTold(st State, chosen string, live []Evidence, s *Settings, now time.Time) *told {
	t := &told{State: st, text: s.Texts[st.Name]}
	if st.Why == "resource" {
		t.text = "" // the client has its own way of showing these
	} else {
		t.label = st.Name
	}
	if st.Why == "choice" && chosen != "" {
		t.text, t.said = chosen, chosen
	}
	t.xml = append(appendState(nil, &st), "/>"...)
	t.own = appendSources(append(appendState(nil, &st), '>'), live, now)
	t.own = append(t.own, "</composed>"...)
	return t
}

func appendState(out []byte, st *State) []byte {
	out = append(out, "<composed xmlns='"+NSComposed+"' state='"...)
	out = append(append(out, st.Name...), '\'')
	return appendTime(out, " since='", st.Since)
}

func appendTime(out []byte, attr string, t time.Time) []byte {
	if t.IsZero() {
		return out
	}
	return append(t.UTC().AppendFormat(append(out, attr...), "2006-01-02T15:04:05Z"), '\'')
}

// appendSources tells what is known: lines by what they do, calendars by what they
// say of now. What a meeting is about is not known here.
func appendSources(out []byte, live []Evidence, now time.Time) []byte {
	for i := range live {
		e := &live[i]
		what, since := e.what(now)
		r := SourceReport{Source: e.Source, Item: e.Item, State: what, Since: since, Expires: e.Expires}
		out = r.appendXML(out)
	}
	return out
}

// at returns the weightiest period of a calendar at a time.
func (e *Evidence) at(now time.Time) (found Period) {
	for _, p := range e.Periods {
		if !p.From.After(now) && p.Until.After(now) && p.Slot > found.Slot {
			found = p
		}
	}
	return found
}

// String names what a line does as the API does.
func (l Line) String() string {
	return [...]string{"unknown", "idle", "ringing", "held", "in-call"}[min(l, LineInCall)]
}

// String names what a calendar says as the API does.
func (s Slot) String() string {
	return [...]string{"free", "tentative", "out-of-office", "busy"}[min(s, SlotBusy)]
}

// same reports whether contacts are told the same by both.
func (t *told) same(o *told) bool {
	if t == nil || o == nil {
		return t == o
	}
	return t.Name == o.Name && t.Show == o.Show && t.label == o.label && t.text == o.text && t.said == o.said
}

// hidden reports whether the user appears offline.
func (t *told) hidden() bool { return t != nil && t.Name == Unavailable && t.Why == "choice" }

// key is what contacts know by the presence of a resource.
func (t *told) key(st *stanza.Stanza) key {
	if t == nil {
		return key{show: st.ChildText(stanza.NSClient, "show")}
	}
	return key{t.show(st), t.label, t.said}
}

// show is what the presence of a resource is told with.
func (t *told) show(st *stanza.Stanza) string {
	if t.Name == Available && st.ChildText(stanza.NSClient, "show") == "chat" {
		return "chat"
	}
	return t.Show
}

// contacts returns the presence of a resource as contacts are told of it.
func (t *told) contacts(st *stanza.Stanza) *stanza.Stanza {
	if t == nil || st.Type != "" {
		return st
	}
	c := st.Clone()
	c.Inner, c.Children = make([]byte, 0, len(st.Inner)+len(t.xml)+len(t.text)+48), make([]stanza.Child, 0, len(st.Children)+3)
	add := func(name stanza.Name, parts ...string) {
		start := len(c.Inner)
		for _, p := range parts {
			c.Inner = append(c.Inner, p...)
		}
		c.Children = append(c.Children, stanza.Child{Name: name, Start: start, End: len(c.Inner)})
	}
	if show := t.show(st); show != "" {
		add(stanza.Name{Space: stanza.NSClient, Local: "show"}, "<show>", show, "</show>")
	}
	if _, set := st.Child(stanza.NSClient, "status"); !set && t.text != "" {
		add(stanza.Name{Space: stanza.NSClient, Local: "status"}, "<status>", string(stanza.AppendEscaped(nil, t.text)), "</status>")
	}
	for _, child := range st.Children {
		if child.Name != (stanza.Name{Space: stanza.NSClient, Local: "show"}) {
			add(child.Name, string(st.ChildBytes(child)))
		}
	}
	add(composedName, string(t.xml))
	return c
}

// owner returns the presence of a resource as the own resources are told of it: as it
// is, with what contacts see and why.
func (t *told) owner(st *stanza.Stanza) *stanza.Stanza {
	if t == nil || st.Type != "" {
		return st
	}
	return st.WithChild(composedName, t.own)
}

// honest takes out what only the server may say.
func honest(st *stanza.Stanza) *stanza.Stanza {
	if _, forged := st.Child(NSComposed, "composed"); !forged {
		return st
	}
	return without(st, composedName)
}

// without takes out the children of a name.
func without(st *stanza.Stanza, name stanza.Name) *stanza.Stanza {
	c := st.Clone()
	c.Inner, c.Children = nil, nil
	for _, child := range st.Children {
		if child.Name != name {
			start := len(c.Inner)
			c.Inner = append(c.Inner, st.ChildBytes(child)...)
			c.Children = append(c.Children, stanza.Child{Name: child.Name, Start: start, End: len(c.Inner)})
		}
	}
	return c
}
