package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/xmpp/jid"
)

// Append implements [offline.Store].
func (s *Store) Append(ctx context.Context, owner jid.JID, limit int, m offline.Message) error {
	answer, err := s.owned(ctx, owner, offline.ErrNotFound, &call{once: m.Origin == offline.Origin{}, cmds: []command{
		appendScript.on([]string{s.keys.account(owner), s.keys.offline(owner), s.keys.origins(owner)}, limit, encodeTime(m.Stamp), m.XML,
			m.Origin.Sender, m.Origin.Request, m.Origin.Place, offline.OriginLife.Milliseconds()),
	}})
	if err == nil && text(answer) == "FULL" {
		err = offline.ErrFull
	}
	if err != nil {
		return fmt.Errorf("keep message for %s: %w", owner, err)
	}
	return nil
}

// Messages implements [offline.Store].
func (s *Store) Messages(ctx context.Context, owner jid.JID, max int) ([]offline.Message, error) {
	if max <= 0 {
		return nil, nil
	}
	answer, err := s.pipes.one(ctx, &call{cmds: []command{
		plain("XRANGE", s.keys.offline(owner), "-", "+", "COUNT", max),
	}})
	var all []offline.Message
	if err == nil {
		all, err = decodeMessages(answer)
	}
	if err != nil {
		return nil, fmt.Errorf("messages of %s: %w", owner, err)
	}
	return all, nil
}

func decodeMessages(answer any) (all []offline.Message, err error) {
	list, _ := answer.([]any)
	for _, entry := range list {
		parts, _ := entry.([]any)
		if len(parts) != 2 {
			return nil, errors.New("an answer of another form")
		}
		value := texts(parts[1]) // the stamp is the name of a field, the XML its value
		if len(value) != 2 {
			return nil, errors.New("a message of another form")
		}
		id, _, _ := strings.Cut(text(parts[0]), "-")
		m := offline.Message{XML: []byte(value[1])}
		if m.ID, err = strconv.ParseInt(id, 10, 64); err != nil {
			return nil, err
		}
		if m.Stamp, err = decodeTime(value[0]); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// Remove implements [offline.Store].
func (s *Store) Remove(ctx context.Context, owner jid.JID, upto int64) error {
	if upto < 0 {
		return nil
	}
	_, err := s.pipes.one(ctx, &call{write: true, cmds: []command{
		removeScript.on([]string{s.keys.offline(owner)}, uint64(upto)+1),
	}})
	if err != nil {
		return fmt.Errorf("remove messages of %s: %w", owner, err)
	}
	return nil
}

// Count implements [offline.Store].
func (s *Store) Count(ctx context.Context, owner jid.JID) (int, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("XLEN", s.keys.offline(owner))}})
	if err != nil {
		return 0, fmt.Errorf("count messages of %s: %w", owner, err)
	}
	return int(number(answer)), nil
}
