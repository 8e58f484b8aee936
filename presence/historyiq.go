package presence

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Supervisors ask for what those of their teams were, and everybody for what they were themselves.
//
//	<iq type='get' to='example.com'><history xmlns='urn:deskline:presence:1' jid='alice@example.com' from='2026-03-02T08:00:00Z'/></iq>

var historyName = stanza.Name{Space: NSComposed, Local: "history"}

// maxToldChanges bounds one answer to a client.
const maxToldChanges = 200

// Today is when the day began at the server.
func Today(now time.Time) time.Time {
	now = now.Local()
	return time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
}

// Window reads the times of a question for history: without them, it is about today.
func Window(from, until string, now time.Time) (begin, end time.Time, err error) {
	begin, end = Today(now), now
	if from != "" {
		if begin, err = time.Parse(time.RFC3339, from); err != nil {
			return begin, end, errors.New("from is no time such as 2026-03-02T15:00:00Z")
		}
	}
	if until != "" {
		if end, err = time.Parse(time.RFC3339, until); err != nil {
			return begin, end, errors.New("until is no time such as 2026-03-02T15:00:00Z")
		}
	}
	if !begin.Before(end) {
		return begin, end, ErrWindow
	}
	return begin, end, nil
}

// getHistory answers whoever may see the user. Of others it is not said whether there are any.
func (s *Service) getHistory(ctx context.Context, req *mux.Request) ([]byte, error) {
	el, err := req.Element()
	if err != nil {
		return nil, err
	}
	asker := req.Stanza.From.Bare()
	user := asker
	if text := el.SelectAttrValue("jid", ""); text != "" {
		j, err := jid.Parse(text)
		if err != nil {
			return nil, stanza.ErrBadRequest("jid is no address")
		}
		user = j.Bare()
	}
	if user != asker && (s.cfg.Teams == nil || !s.cfg.Teams.Oversees(asker, user) || !s.cfg.Router.Reaches(asker, user)) {
		return nil, stanza.ErrForbidden()
	}
	from, until, err := Window(el.SelectAttrValue("from", ""), el.SelectAttrValue("until", ""), time.Now())
	if err != nil {
		return nil, stanza.ErrBadRequest(err.Error())
	}
	h, err := s.History(ctx, user, from, until, maxToldChanges)
	if errors.Is(err, ErrNoHistory) {
		return nil, stanza.ErrServiceUnavailable()
	}
	if err != nil {
		return nil, err
	}
	return h.appendXML(nil), nil
}

// appendXML writes a history as clients are told of it. Who is offline for others is no less so here.
func (h *History) appendXML(out []byte) []byte {
	out = stanza.AppendEscaped(append(out, "<history xmlns='"+NSComposed+"' jid='"...), h.User.String())
	out = append(out, '\'')
	out = appendInstant(out, " from='", h.From)
	out = appendInstant(out, " until='", h.Until)
	if h.State != "" {
		out = append(stanza.AppendEscaped(append(out, " state='"...), string(h.State)), '\'')
	}
	if h.Next != nil {
		out = appendInstant(out, " next='", *h.Next)
	}
	out = append(out, '>')
	for _, c := range h.Changes {
		out = append(stanza.AppendEscaped(append(out, "<change state='"...), string(c.State)), '\'')
		out = appendInstant(out, " at='", c.At)
		if c.State != Unavailable {
			out = append(stanza.AppendEscaped(append(out, " why='"...), c.Why), '\'')
		}
		out = append(out, "/>"...)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Seconds)) {
		out = stanza.AppendEscaped(append(out, "<time state='"...), string(name))
		out = strconv.AppendFloat(append(out, "' seconds='"...), h.Seconds[name], 'f', -1, 64)
		out = append(out, "'/>"...)
	}
	return append(out, "</history>"...)
}

// appendInstant writes a time by which can be gone on.
func appendInstant(out []byte, attr string, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(out, attr...), time.RFC3339Nano), '\'')
}
