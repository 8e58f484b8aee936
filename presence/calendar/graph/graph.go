// Package graph asks Microsoft Graph when users are busy: getSchedule, which tells of
// 20 mailboxes at once, and JSON batches, which take 20 such requests in one. Its
// answers may have subjects and places; they are skipped while they are read. It is a
// source for a calendar.Poller, as packages caldav and ews. By change notifications, which
// a Hub takes, it hears when a calendar is to be looked at.
package graph

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// Limits of the service: mailboxes of a getSchedule, requests of a batch, and of those
// at the same time on behalf of one mailbox.
const (
	Mailboxes  = 20
	Requests   = 20
	concurrent = 4
)

// Tokens are how the service knows the node.
type Tokens interface {
	Token(ctx context.Context) (string, error)
	Refused(token string) // the next is to be another one
}

// Config is where the calendars are.
type Config struct {
	URL     string // such as https://graph.microsoft.com/v1.0
	Plain   bool   // http:// off this machine is allowed
	CAFile  string // "" = the system's
	Tokens  Tokens
	Mailbox func(jid.JID) string // address of a user's mailbox; "" = has none
	AskAs   string               // in whose name all are asked for; "" = in that of one of those asked for
	AtOnce  int
	Bytes   int64 // of an answer
}

// Source fetches schedules.
type Source struct {
	c     Config
	http  *http.Client
	times times

	mu     sync.Mutex
	unable map[string]bool // mailboxes in whose name nothing can be asked
}

// New makes a source; nothing is asked yet.
func New(c Config) (*Source, error) {
	if err := calendar.CheckURL(c.URL, c.Plain); err != nil {
		return nil, err
	}
	if c.Bytes == 0 {
		c.Bytes = 16 << 20
	}
	c.URL = strings.TrimRight(c.URL, "/")
	t, err := calendar.Transport(c.CAFile, c.AtOnce)
	if err != nil {
		return nil, err
	}
	return &Source{c: c, times: usual(), unable: map[string]bool{}, http: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Batch is how many calendars are best asked for at a time.
func (s *Source) Batch() int {
	if s.c.AskAs != "" {
		return Mailboxes * concurrent
	}
	return Mailboxes * Requests
}

// part is one getSchedule.
type part struct {
	at    int // of its first result among all
	asks  []calendar.Ask
	boxes []string // of the asks
	as    string
	tried int // names it was asked in
}

// FetchAll is for calendar.Config.
func (s *Source) FetchAll(ctx context.Context, asks []calendar.Ask) ([]calendar.Result, error) {
	return calendar.Having(asks, s.c.Mailbox, func(asks []calendar.Ask, boxes []string) ([]calendar.Result, error) {
		return s.fetch(ctx, asks, boxes)
	})
}

func (s *Source) fetch(ctx context.Context, asks []calendar.Ask, boxes []string) ([]calendar.Result, error) {
	results := make([]calendar.Result, len(asks))
	todo := s.parts(asks, boxes)
	most := max(1, s.Batch()/Mailboxes)
	for renewed := false; len(todo) > 0; {
		token, err := s.c.Tokens.Token(ctx)
		if err != nil {
			return nil, err
		}
		n := min(most, len(todo))
		replies, err := s.send(ctx, token, todo[:n])
		stale := !renewed && refused(err)
		if err != nil && !stale {
			return nil, err
		}
		again := todo[n:]
		for i, p := range todo[:n] {
			switch {
			case err != nil:
				again = append(again, p)
			case !renewed && replies[i].status == http.StatusUnauthorized:
				again, stale = append(again, p), true
			case replies[i].unable() && s.another(p):
				again = append(again, p)
			case replies[i].status == http.StatusBadRequest && len(p.asks) > 1:
				again = append(again, s.split(p)...) // one address spoils it for all
			default:
				copy(results[p.at:], replies[i].results(p))
			}
		}
		if stale {
			s.c.Tokens.Refused(token)
			renewed = true
		}
		todo = again
	}
	return results, nil
}

func (s *Source) parts(asks []calendar.Ask, boxes []string) []*part {
	var parts []*part
	for at := 0; at < len(asks); at += Mailboxes {
		end := min(at+Mailboxes, len(asks))
		p := &part{at: at, asks: asks[at:end], boxes: boxes[at:end]}
		s.name(p)
		parts = append(parts, p)
	}
	return parts
}

func (s *Source) split(p *part) []*part {
	half := len(p.asks) / 2
	both := []*part{{at: p.at, asks: p.asks[:half], boxes: p.boxes[:half]}, {at: p.at + half, asks: p.asks[half:], boxes: p.boxes[half:]}}
	s.name(both[0])
	s.name(both[1])
	return both
}

// name chooses in whose name a part is asked for: the service limits what is done on
// behalf of one mailbox at the same time, so parts differ.
func (s *Source) name(p *part) {
	p.tried = 1
	if p.as = s.c.AskAs; p.as != "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.as = p.boxes[0]
	if i := slices.IndexFunc(p.boxes, func(box string) bool { return !s.unable[box] }); i >= 0 {
		p.as = p.boxes[i]
	}
}

const (
	maxTried  = 3
	maxUnable = 10_000
)

// another chooses another name, for the one that was tried has no mailbox there.
func (s *Source) another(p *part) bool {
	if s.c.AskAs != "" || p.tried >= maxTried {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unable) >= maxUnable {
		clear(s.unable)
	}
	s.unable[p.as] = true
	i := slices.IndexFunc(p.boxes, func(box string) bool { return !s.unable[box] })
	if i >= 0 {
		p.tried++
		p.as = p.boxes[i]
	}
	return i >= 0
}
