package redis

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Snapshot is one session written down; the store does not look into Data. It
// is an alias so that other stores and their users can name the same type
// without importing this package.
type Snapshot = struct {
	SID  string
	Kind string // the door that wrote it, such as "bosh"
	Data []byte
}

// sessionLife is how long sessions written down are kept: no client waits longer.
const sessionLife = 24 * time.Hour

// SaveSessions writes sessions down at a graceful stop, all or none. One that is
// there already is replaced.
func (s *Store) SaveSessions(ctx context.Context, sessions []Snapshot) error {
	if len(sessions) == 0 {
		return nil
	}
	args := []any{int64(sessionLife.Seconds())}
	for _, x := range sessions {
		args = append(args, x.SID, append([]byte(x.Kind+"\x00"), x.Data...))
	}
	_, err := s.pipes.one(ctx, &call{write: true, cmds: []command{
		stowScript.on([]string{s.keys.order(), s.keys.sessions()}, args...),
	}})
	if err != nil {
		return fmt.Errorf("save %d sessions: %w", len(sessions), err)
	}
	return nil
}

// TakeSessions returns the sessions written down, in the order they were, and
// removes them in the same script: nobody gets one twice.
func (s *Store) TakeSessions(ctx context.Context) ([]Snapshot, error) {
	answer, err := s.pipes.one(ctx, &call{write: true, once: true, cmds: []command{
		takeScript.on([]string{s.keys.order(), s.keys.sessions()}),
	}})
	if err != nil {
		return nil, fmt.Errorf("take sessions: %w", err)
	}
	return decodeSessions(texts(answer)), nil
}

// decodeSessions reads ids and sessions in turn.
func decodeSessions(list []string) (all []Snapshot) {
	for i := 0; i+1 < len(list); i += 2 {
		kind, data, _ := strings.Cut(list[i+1], "\x00")
		all = append(all, Snapshot{SID: list[i], Kind: kind, Data: []byte(data)})
	}
	return all
}

// Meta returns one of the server's own values, nil if it was never set.
func (s *Store) Meta(ctx context.Context, key string) ([]byte, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("HGET", s.keys.meta(), key)}})
	if err != nil {
		return nil, fmt.Errorf("meta %s: %w", key, err)
	}
	return bytes(answer), nil
}

// SetMeta replaces one of the server's own values.
func (s *Store) SetMeta(ctx context.Context, key string, value []byte) error {
	_, err := s.pipes.one(ctx, &call{write: true, cmds: []command{plain("HSET", s.keys.meta(), key, value)}})
	if err != nil {
		return fmt.Errorf("set meta %s: %w", key, err)
	}
	return nil
}

// InitMeta sets one of the server's own values unless it is set, and returns
// what is there then: of several nodes that begin at once all get the same.
func (s *Store) InitMeta(ctx context.Context, key string, value []byte) ([]byte, error) {
	answer, err := s.pipes.one(ctx, &call{write: true, cmds: []command{
		plain("HSETNX", s.keys.meta(), key, value), plain("HGET", s.keys.meta(), key),
	}})
	if err != nil {
		return nil, fmt.Errorf("init meta %s: %w", key, err)
	}
	return bytes(answer), nil
}
