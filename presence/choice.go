package presence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Choices keeps what users chose, so that it outlives sessions and nodes.
type Choices interface {
	// Choice returns what a user chose, the zero Choice if nothing.
	Choice(ctx context.Context, user jid.JID) (Choice, error)
	// SetChoice keeps it; one without a state is forgotten. ErrNobody if there is no
	// such account.
	SetChoice(ctx context.Context, user jid.JID, c Choice) error
}

// Why a choice is not taken.
var (
	ErrNobody = errors.New("there is no such account")
	ErrChoice = errors.New("cannot be chosen")
)

// Bounds of a choice.
const (
	maxChoiceText = 200 // bytes
	maxChoiceTime = 366 * 24 * time.Hour
)

var choiceName = stanza.Name{Space: NSComposed, Local: "choice"}

// choosable are the states of a choice by the names that the wire and the API have.
var choosable = map[string]Name{
	"": "", "automatic": "", "dnd": DND, "busy": Busy, "away": Away, "extended-away": ExtendedAway, "unavailable": Unavailable,
}

// NewChoice checks what somebody wants to be: a state or "automatic", until when (zero: until
// it is chosen otherwise), a text of their own in place of the state's, and who says so.
func NewChoice(state string, until time.Time, text, by string, now time.Time) (Choice, error) {
	name, ok := choosable[state]
	c := Choice{State: name, Since: now.UTC(), Until: until, Text: strings.TrimSpace(text), By: by}
	switch {
	case !ok:
		return c, fmt.Errorf("%q %w: dnd, busy, away, extended-away, unavailable or automatic", state, ErrChoice)
	case name == "":
		return Choice{Since: c.Since, By: by}, nil
	case !until.IsZero() && (!until.After(now) || until.After(now.Add(maxChoiceTime))):
		return c, fmt.Errorf("until %w: it is past, or more than a year away", ErrChoice)
	case len(c.Text) > maxChoiceText || !utf8.ValidString(c.Text) || strings.ContainsFunc(c.Text, unicode.IsControl):
		return c, fmt.Errorf("the text %w: it has more than %d bytes, or signs that no text has", ErrChoice, maxChoiceText)
	}
	return c, nil
}

// counts reports whether a choice says anything at a time.
func (c Choice) counts(now time.Time) bool {
	return c.State != "" && (c.Until.IsZero() || c.Until.After(now))
}

// Choose keeps what a user chose and lets contacts know. Of several choices the one that was
// made last counts, whichever node of a cluster it came to.
func (s *Service) Choose(ctx context.Context, user jid.JID, c Choice) error {
	if s.cfg.Choices == nil {
		return ErrNobody
	}
	if err := s.cfg.Choices.SetChoice(ctx, user, c); err != nil {
		return fmt.Errorf("choose: %w", err)
	}
	s.AdoptChoice(user, c, time.Now())
	if s.cfg.Cluster != nil {
		s.cfg.Cluster.ShareChoice(user, c)
	}
	return nil
}

// AdoptChoice takes a choice that is kept already, and that a node took up at a time, and reports whether it is news.
func (s *Service) AdoptChoice(user jid.JID, c Choice, at time.Time) bool {
	news := s.note(user, c, at)
	if news {
		// What another node is telling contacts of the same user is heard first.
		due := time.Now().Add(s.composer.settings.Load().Gather)
		s.composer.with(user, false, func(sh *shard, e *entry) { sh.plan(e, due) })
	}
	return news
}

// note takes a choice that whoever calls lets contacts know.
func (s *Service) note(user jid.JID, c Choice, at time.Time) (news bool) {
	s.composer.with(user, c.counts(time.Now()), func(_ *shard, e *entry) {
		if news = c.Since.After(e.choice.Since); news {
			e.hears(at)
			e.choice = c
		}
	})
	return news
}

// recall finds what somebody who comes chose before.
func (s *Service) recall(ctx context.Context, user jid.JID) {
	if s.cfg.Choices == nil {
		return
	}
	c, err := s.cfg.Choices.Choice(ctx, user)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "choice of presence", "jid", user.String(), "err", err)
		return
	}
	// The presence that comes is told with it, and looked at again after that.
	if c.counts(time.Now()) && s.note(user, c, time.Now()) && s.cfg.Cluster != nil {
		s.cfg.Cluster.ShareChoice(user, c)
	}
}

func (s *Service) getChoice(ctx context.Context, req *mux.Request) ([]byte, error) {
	r, err := s.Report(ctx, req.Owner)
	if err != nil {
		return nil, err
	}
	return r.Choice.appendXML(nil), nil
}

func (s *Service) setChoice(ctx context.Context, req *mux.Request) ([]byte, error) {
	el, err := req.Element()
	if err != nil {
		return nil, err
	}
	var until time.Time
	if text := el.SelectAttrValue("until", ""); text != "" {
		if until, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, stanza.ErrBadRequest("until is no time such as 2026-03-02T15:00:00Z")
		}
	}
	c, err := NewChoice(el.SelectAttrValue("state", ""), until, el.Text(), req.Stanza.From.String(), time.Now())
	if err != nil {
		return nil, stanza.ErrBadRequest(err.Error())
	}
	err = s.Choose(ctx, req.Owner, c)
	if errors.Is(err, ErrNobody) {
		return nil, stanza.ErrServiceUnavailable()
	}
	return nil, err
}

// appendXML writes a choice as its owner is told of it; nil is the one that nobody made.
func (r *ChoiceReport) appendXML(out []byte) []byte {
	out = append(out, "<choice xmlns='"+NSComposed+"' state='"...)
	if r == nil {
		return append(out, "automatic'/>"...)
	}
	out = append(append(out, r.State...), "' by='"...)
	out = append(stanza.AppendEscaped(out, r.By), '\'')
	out = appendTime(out, " since='", r.Since)
	if r.Until != nil {
		out = appendTime(out, " until='", *r.Until)
	}
	out = append(out, '>')
	return append(stanza.AppendEscaped(out, r.Text), "</choice>"...)
}
