// Package search lets clients find people (XEP-0055), with a data form
// (XEP-0004) and without, in pages if they ask for them (XEP-0059). A form has
// one field for whatever somebody types, letter by letter, beside those of the
// standard. Only people whom the searcher may see are found.
//
//	s := search.New(search.Config{Index: index, Visibility: people.SameDomain{}, Limits: limits})
//	s.Register(m)
package search

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Namespaces.
const (
	NS     = "jabber:iq:search"
	nsData = "jabber:x:data"
	nsRSM  = "http://jabber.org/protocol/rsm"
)

// Limits bound what searches give away and cost.
type Limits struct {
	Most      int    // people in one answer; default 50
	MinLength int    // letters typed before anybody is found; default 1
	Unit      string // a DN; only people at or below it are found, "" = all
	Rate      int    // searches of one user in a minute; default 300
}

// Config sets up a Service.
type Config struct {
	Index      *people.Index
	Visibility people.Visibility // default people.SameDomain
	// Expected says whether some source knows, or will know, the people of a
	// domain; where none does, clients are told that there is no search. nil
	// answers everywhere.
	Expected func(domain string) bool
	// Off says why there is no search at all, as TurnedOff; "" = there is.
	Off    string
	Limits Limits
	// Searched is told how long an answer took, Refused that a user searched too
	// often; both may be nil.
	Searched func(took time.Duration)
	Refused  func()
}

// Reasons why there is no search, as clients are told.
const (
	TurnedOff   = "search is turned off on this server; add contacts by their address"
	NoDirectory = "there is no directory to search; add contacts by their address"
)

// Service answers searches. Safe for concurrent use.
type Service struct {
	cfg     Config
	limits  atomic.Pointer[Limits]
	limiter *limiter
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Visibility == nil {
		cfg.Visibility = people.SameDomain{}
	}
	if cfg.Searched == nil {
		cfg.Searched = func(time.Duration) {}
	}
	if cfg.Refused == nil {
		cfg.Refused = func() {}
	}
	s := &Service{cfg: cfg, limiter: newLimiter()}
	s.SetLimits(cfg.Limits)
	return s
}

// SetLimits changes Config.Limits.
func (s *Service) SetLimits(l Limits) {
	if l.Most <= 0 {
		l.Most = 50
	}
	if l.Rate <= 0 {
		l.Rate = 300
	}
	s.limits.Store(&l)
}

// Limits returns what is in force.
func (s *Service) Limits() Limits { return *s.limits.Load() }

// Register adds search to the domains. Without search the feature is not told
// and requests are answered with the reason.
func (s *Service) Register(m *mux.Mux) {
	route := mux.Route{Name: stanza.Name{Space: NS, Local: "query"}, Get: s.get, Set: s.set, Scope: mux.ScopeServer}
	if s.cfg.Off != "" {
		route.Feature = "-"
	} else {
		m.Feature(mux.ScopeServer, nsRSM)
	}
	m.Handle(route)
}

// available returns why a domain cannot be searched, or nil.
func (s *Service) available(domain jid.JID) error {
	d := domain.Domain()
	switch {
	case s.cfg.Off != "":
		return unavailable(s.cfg.Off)
	case s.cfg.Expected == nil:
		return nil
	case !s.cfg.Expected(d):
		return unavailable(NoDirectory)
	case !s.cfg.Index.Knows(d):
		return stanza.NewError(stanza.Wait, "service-unavailable", "the directory has not been read yet; try again in a moment")
	}
	return nil
}

func unavailable(text string) error {
	return stanza.NewError(stanza.Cancel, "service-unavailable", text)
}

func (s *Service) get(_ context.Context, req *mux.Request) ([]byte, error) {
	if err := s.available(req.Owner); err != nil {
		return nil, err
	}
	return []byte(fieldsReply), nil
}

func (s *Service) set(_ context.Context, req *mux.Request) ([]byte, error) {
	if err := s.available(req.Owner); err != nil {
		return nil, err
	}
	searcher := req.Stanza.From.Bare()
	limits := s.Limits()
	begun := time.Now()
	if !s.limiter.take(searcher, limits.Rate, begun) {
		s.cfg.Refused()
		return nil, stanza.NewError(stanza.Wait, "resource-constraint", "too many searches; wait a moment")
	}
	el, err := req.Element()
	if err != nil {
		return nil, err
	}
	a, err := readAsk(el, limits)
	if err != nil {
		return nil, err
	}
	q := people.Query{
		Terms: a.terms, Units: a.units, Most: a.most, After: a.after, Before: a.before, Last: a.last,
		Domains: s.domains(searcher, req.Owner),
		May:     func(person jid.JID) bool { return s.cfg.Visibility.MaySee(searcher, person) },
	}
	result, err := s.cfg.Index.Search(q)
	if errors.Is(err, people.ErrNoPlace) {
		return nil, stanza.ErrItemNotFound() // XEP-0059 §2.2
	}
	if err != nil {
		return nil, err
	}
	reply := a.reply(result)
	s.cfg.Searched(time.Since(begun))
	return reply, nil
}

// domains are those searched: of the searcher's own server all within reach, of
// another one its own alone.
func (s *Service) domains(searcher, asked jid.JID) []string {
	reach, ok := s.cfg.Visibility.(people.Reach)
	switch {
	case asked.Domain() != searcher.Domain():
		return []string{asked.Domain()} // MaySee decides
	case ok:
		return append([]string{}, reach.Domains(searcher)...) // none is not all
	}
	return nil
}
