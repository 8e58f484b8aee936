package presence

import (
	"context"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Report is what is known of a user, for the user and for administrators.
type Report struct {
	User    jid.JID        `json:"user"`
	State   Name           `json:"state"`
	Show    string         `json:"show"`
	Since   *time.Time     `json:"since,omitempty"`
	Why     string         `json:"why"` // choice, resource, or the source that decided
	Item    string         `json:"item,omitempty"`
	Choice  *ChoiceReport  `json:"choice,omitempty"`
	Sources []SourceReport `json:"sources"`
}

// ChoiceReport is what the user chose beside what the resources say.
type ChoiceReport struct {
	State Name       `json:"state"`
	Text  string     `json:"text,omitempty"`
	By    string     `json:"by"`
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until,omitempty"`
}

// SourceReport is what one source says of one line or calendar.
type SourceReport struct {
	Source  string    `json:"source"`
	Item    string    `json:"item"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
	Seq     uint64    `json:"seq"`
}

// Report tells what is known of a user now, contacts told of it or not.
func (s *Service) Report(ctx context.Context, user jid.JID) (Report, error) {
	r, _, err := s.report(ctx, user)
	return r, err
}

// report also says when the state may become another one though nothing new is heard; zero = never.
func (s *Service) report(ctx context.Context, user jid.JID) (Report, time.Time, error) {
	list, err := s.cfg.Router.Registry().Lookup(ctx, user)
	if err != nil {
		return Report{}, time.Time{}, err
	}
	now := time.Now()
	in := Input{Resources: resources(list)}
	var since time.Time
	var name Name
	s.composer.with(user, false, func(_ *shard, e *entry) {
		in.Choice = e.choice
		in.Evidence = append(in.Evidence, e.book.Live(now)...)
		if e.told != nil {
			since, name = e.told.Since, e.told.Name
		}
	})
	st, next := Compose(in, s.composer.settings.Load().Policy, now)
	if name == st.Name && !since.IsZero() && since.Before(st.Since) {
		st.Since = since
	}
	r := Report{User: user, State: st.Name, Show: st.Show, Why: st.Why, Item: st.Item, Sources: []SourceReport{}}
	if !st.Since.IsZero() {
		r.Since = &st.Since
	}
	if c := in.Choice; c.counts(now) {
		r.Choice = &ChoiceReport{State: c.State, Text: c.Text, By: c.By, Since: c.Since}
		if !c.Until.IsZero() {
			r.Choice.Until = &c.Until
		}
	}
	for i := range in.Evidence {
		e := &in.Evidence[i]
		what, since := e.what(now)
		r.Sources = append(r.Sources, SourceReport{e.Source, e.Item, what, since, e.Expires, e.Seq})
	}
	return r, next, nil
}

// Register adds the question for the own composed presence and its sources, and the
// user's choice.
func (s *Service) Register(m *mux.Mux) {
	m.Handle(mux.Route{Name: composedName, Get: s.getComposed, Scope: mux.ScopeAccount})
	m.Handle(mux.Route{Name: choiceName, Get: s.getChoice, Set: s.setChoice, Scope: mux.ScopeAccount, Feature: "-"})
	m.Handle(mux.Route{Name: teamName, Get: s.getTeam, Scope: mux.ScopeServer, Feature: "-"})
	m.Handle(mux.Route{Name: historyName, Get: s.getHistory, Scope: mux.ScopeServer, Feature: "-"})
}

func (s *Service) getComposed(ctx context.Context, req *mux.Request) ([]byte, error) {
	r, err := s.Report(ctx, req.Owner)
	if err != nil {
		return nil, err
	}
	st := State{Name: r.State}
	if r.Since != nil {
		st.Since = *r.Since
	}
	out := appendState(nil, &st)
	out = stanza.AppendEscaped(append(out, " why='"...), r.Why)
	out = stanza.AppendEscaped(append(out, "' item='"...), r.Item)
	out = append(out, "'>"...)
	if r.Choice != nil {
		out = r.Choice.appendXML(out)
	}
	for _, src := range r.Sources {
		out = src.appendXML(out)
	}
	return append(out, "</composed>"...), nil
}

func (r *SourceReport) appendXML(out []byte) []byte {
	out = stanza.AppendEscaped(append(out, "<source name='"...), r.Source)
	out = stanza.AppendEscaped(append(out, "' item='"...), r.Item)
	out = append(append(append(out, "' state='"...), r.State...), '\'')
	out = appendTime(out, " since='", r.Since)
	return append(appendTime(out, " expires='", r.Expires), "/>"...)
}

// what names what a line does, or a calendar says of a time, and since when.
func (e *Evidence) what(now time.Time) (string, time.Time) {
	if e.Line != LineUnknown {
		return e.Line.String(), e.Since
	}
	p := e.at(now)
	if p.From.IsZero() {
		p.From = e.Since
	}
	return p.Slot.String(), p.From
}
