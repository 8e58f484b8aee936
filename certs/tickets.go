package certs

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// TicketStore is where nodes share the keys of session tickets. ErrTicketsChanged
// from Save says that another node has saved meanwhile.
type TicketStore interface {
	// TicketKeys returns what was saved and its version, nothing and 0 before.
	TicketKeys(ctx context.Context) (data []byte, version uint64, err error)
	// SaveTicketKeys writes data if the version is still the one that was read.
	SaveTicketKeys(ctx context.Context, data []byte, version uint64) error
}

// ErrTicketsChanged says that another node was faster.
var ErrTicketsChanged = errors.New("ticket keys were changed meanwhile")

const (
	// ticketAge is how long a key seals new tickets. Together with ticketKeys it
	// bounds what a stolen key opens (RFC 8446 §C.4, RFC 5077 §5.5).
	ticketAge  = 24 * time.Hour
	ticketKeys = 3
	// ticketLead is how long all nodes have to read a new key before one of them
	// seals with it, and ticketRead how often they read.
	ticketLead = 5 * time.Minute
	ticketRead = time.Minute
	// ticketWait bounds the store.
	ticketWait = 10 * time.Second
)

// ticketKey is one key, as it is kept.
type ticketKey struct {
	Made time.Time `json:"made"`
	Key  []byte    `json:"key"` // 32 bytes
}

// Tickets keeps the keys of TLS session tickets (RFC 5077, RFC 8446 §4.6.1), the
// same on all nodes that share a store, so that a client goes on with its TLS
// session at another node.
type Tickets struct {
	store TicketStore // nil = the keys are this node's own, and end with it
	log   *slog.Logger

	mu      sync.Mutex // guards what follows; not held over the store
	keys    []ticketKey
	configs []*tls.Config
	away    bool // the store failed the last time
}

// NewTickets returns keys that [Tickets.Run] keeps fresh.
func NewTickets(store TicketStore, log *slog.Logger) *Tickets {
	return &Tickets{store: store, log: log}
}

// Serve has a configuration use the keys, now and later. It must not be cloned
// after that.
func (t *Tickets) Serve(c *tls.Config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.configs = append(t.configs, c)
	t.apply(time.Now())
}

// Run rotates the keys until ctx ends. It returns nil.
func (t *Tickets) Run(ctx context.Context) error {
	tick := time.NewTicker(ticketRead)
	defer tick.Stop()
	for {
		t.Refresh(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Refresh reads the keys of all nodes and makes a new one if it is time.
// While the store is away those that are known stay.
func (t *Tickets) Refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ticketWait)
	defer cancel()
	keys, err := t.read(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		if !t.away && ctx.Err() == nil {
			t.log.Warn("TLS session tickets: the keys of this node stay as they are", "err", err)
		}
		t.away = true
		return
	}
	t.away, t.keys = false, keys
	t.apply(time.Now())
}

func (t *Tickets) read(ctx context.Context) ([]ticketKey, error) {
	if t.store == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		next, _ := rotate(t.keys, time.Now(), 0)
		return next, nil
	}
	for {
		data, version, err := t.store.TicketKeys(ctx)
		if err != nil {
			return nil, fmt.Errorf("read ticket keys: %w", err)
		}
		next, changed := rotate(decodeTicketKeys(data), time.Now(), ticketLead)
		if !changed {
			return next, nil
		}
		if data, err = json.Marshal(next); err != nil {
			return nil, fmt.Errorf("encode ticket keys: %w", err)
		}
		switch err = t.store.SaveTicketKeys(ctx, data, version); {
		case err == nil:
			return next, nil
		case !errors.Is(err, ErrTicketsChanged):
			return nil, fmt.Errorf("save ticket keys: %w", err)
		}
	}
}

// decodeTicketKeys returns nothing for what it cannot read: new keys cost clients
// one more handshake.
func decodeTicketKeys(data []byte) (keys []ticketKey) {
	if json.Unmarshal(data, &keys) != nil || slices.ContainsFunc(keys, func(k ticketKey) bool { return len(k.Key) != 32 }) {
		return nil
	}
	return keys
}

// rotate puts a new key in front if the newest is old, and forgets those too many
// or too old. The new one is there a lead before it is needed.
func rotate(keys []ticketKey, now time.Time, lead time.Duration) (next []ticketKey, changed bool) {
	for _, k := range keys {
		if now.Sub(k.Made) < (ticketKeys+1)*ticketAge && k.Made.Sub(now) < ticketAge {
			next = append(next, k)
		}
	}
	slices.SortFunc(next, func(a, b ticketKey) int { return b.Made.Compare(a.Made) })
	if len(next) == 0 || now.Sub(next[0].Made) >= ticketAge-lead {
		k := ticketKey{Made: now.UTC(), Key: make([]byte, 32)}
		_, _ = rand.Read(k.Key) // never fails
		next, changed = append([]ticketKey{k}, next...), true
	}
	return next[:min(len(next), ticketKeys)], changed || len(next) != len(keys)
}

// apply gives the keys to all configurations: first the one that seals, which
// all nodes have had the time to read.
func (t *Tickets) apply(now time.Time) {
	if len(t.keys) == 0 {
		return // crypto/tls has its own
	}
	sealing := 0
	if t.store != nil {
		for sealing < len(t.keys)-1 && now.Sub(t.keys[sealing].Made) < ticketLead {
			sealing++
		}
	}
	var raw [][32]byte
	raw = append(raw, [32]byte(t.keys[sealing].Key))
	for i, k := range t.keys {
		if i != sealing {
			raw = append(raw, [32]byte(k.Key))
		}
	}
	for _, c := range t.configs {
		c.SetSessionTicketKeys(raw)
	}
}
