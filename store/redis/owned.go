package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/vcard"
	"github.com/deskline/deskline/xmpp/jid"
)

// privateName is the field of an element: the length keeps two names apart.
func privateName(space, local string) string {
	return strconv.Itoa(len(space)) + ":" + space + local
}

// Private implements [private.Store].
func (s *Store) Private(ctx context.Context, owner jid.JID, space, local string) ([]byte, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{
		plain("HGET", s.keys.private(owner), privateName(space, local)),
	}})
	if err != nil {
		return nil, fmt.Errorf("private XML of %s: %w", owner, err)
	}
	return bytes(answer), nil
}

// SetPrivate implements [private.Store].
func (s *Store) SetPrivate(ctx context.Context, owner jid.JID, limit int, elements ...private.Element) error {
	args := []any{limit}
	for _, e := range elements {
		args = append(args, privateName(e.Space, e.Local), e.XML)
	}
	answer, err := s.owned(ctx, owner, private.ErrNotFound, &call{cmds: []command{
		privateScript.on([]string{s.keys.account(owner), s.keys.private(owner)}, args...),
	}})
	if err == nil && text(answer) == "FULL" {
		err = private.ErrFull
	}
	if err != nil {
		return fmt.Errorf("set private XML of %s: %w", owner, err)
	}
	return nil
}

// VCard implements [vcard.Store].
func (s *Store) VCard(ctx context.Context, owner jid.JID) ([]byte, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("GET", s.keys.vcard(owner))}})
	if err != nil {
		return nil, fmt.Errorf("vCard of %s: %w", owner, err)
	}
	return bytes(answer), nil
}

// SetVCard implements [vcard.Store].
func (s *Store) SetVCard(ctx context.Context, owner jid.JID, xml []byte) error {
	_, err := s.owned(ctx, owner, vcard.ErrNotFound, &call{cmds: []command{
		putScript.on([]string{s.keys.account(owner), s.keys.vcard(owner)}, xml),
	}})
	if err != nil {
		return fmt.Errorf("set vCard of %s: %w", owner, err)
	}
	return nil
}

// LastSeen implements [info.Store].
func (s *Store) LastSeen(ctx context.Context, owner jid.JID) (time.Time, string, bool, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("GET", s.keys.seen(owner))}})
	if err != nil {
		return time.Time{}, "", false, fmt.Errorf("last activity of %s: %w", owner, err)
	}
	at, status, ok, err := decodeSeen(text(answer))
	if err != nil {
		return time.Time{}, "", false, fmt.Errorf("last activity of %s: %w", owner, err)
	}
	return at, status, ok, nil
}

// SetLastSeen implements [info.Store].
func (s *Store) SetLastSeen(ctx context.Context, owner jid.JID, t time.Time, status string) error {
	_, err := s.owned(ctx, owner, info.ErrNotFound, &call{cmds: []command{
		putScript.on([]string{s.keys.account(owner), s.keys.seen(owner)}, encodeSeen(t, status)),
	}})
	if err != nil {
		return fmt.Errorf("set last activity of %s: %w", owner, err)
	}
	return nil
}

func encodeSeen(t time.Time, status string) string {
	return strconv.FormatInt(encodeTime(t), 10) + " " + status
}

func decodeSeen(value string) (at time.Time, status string, ok bool, err error) {
	if value == "" {
		return at, "", false, nil
	}
	us, status, _ := strings.Cut(value, " ")
	at, err = decodeTime(us)
	return at, status, err == nil, err
}
