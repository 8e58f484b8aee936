package live

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// encodeBinding writes what a binding has beside its name and generation.
func encodeBinding(b *router.Binding) []byte {
	out := []byte{1, byte(b.Priority)}
	out = binary.AppendVarint(out, b.Since.UnixMilli())
	for _, s := range []string{string(b.SID), string(b.Node)} {
		out = append(binary.AppendUvarint(out, uint64(len(s))), s...)
	}
	if b.Presence != nil {
		out = b.Presence.AppendXML(out)
	}
	return out
}

var errBinding = errors.New("malformed binding")

// decodeBinding reads what Redis keeps: generation, space, the encoded rest.
func decodeBinding(bare jid.JID, resource, data string) (router.Binding, error) {
	var b router.Binding
	gen, rest, ok := strings.Cut(data, " ")
	if !ok || len(rest) < 2 || rest[0] != 1 {
		return b, errBinding
	}
	var err error
	if b.Gen, err = strconv.ParseUint(gen, 10, 64); err != nil {
		return b, errBinding
	}
	if b.Full, err = bare.WithResource(resource); err != nil {
		return b, err
	}
	b.Priority = int8(rest[1]) //nolint:gosec // it was one
	raw := []byte(rest[2:])
	ms, n := binary.Varint(raw)
	if n <= 0 {
		return b, errBinding
	}
	b.Since, raw = time.UnixMilli(ms), raw[n:]
	var text [2]string
	for i := range text {
		size, n := binary.Uvarint(raw)
		if n <= 0 || size > uint64(len(raw)-n) {
			return b, errBinding
		}
		text[i], raw = string(raw[n:n+int(size)]), raw[n+int(size):] //nolint:gosec // bounded above
	}
	b.SID, b.Node = router.SID(text[0]), router.NodeID(text[1])
	if len(raw) > 0 {
		if b.Presence, err = stanza.Decode(raw); err != nil {
			return b, fmt.Errorf("presence: %w", err)
		}
	}
	return b, nil
}

// Bind implements router.Registry.
func (l *Shared) Bind(ctx context.Context, b router.Binding) (uint64, *router.Binding, error) {
	bare := b.Full.Bare()
	keys := []string{l.bindingsKey(bare), l.replacedKey(bare)}
	cmd, err := l.surely(ctx, bindScript, keys, b.Full.Resource(), encodeBinding(&b), string(b.SID), l.boundChannel(), bare.String(), l.keep())
	l.cache.forget(bare)
	if err != nil {
		return 0, nil, fmt.Errorf("bind %s: %w", b.Full, err)
	}
	answer, err := cmd.StringSlice()
	if err != nil || len(answer) != 2 {
		return 0, nil, fmt.Errorf("bind %s: strange answer: %w", b.Full, err)
	}
	gen, err := strconv.ParseUint(answer[0], 10, 64)
	if err != nil {
		return 0, nil, fmt.Errorf("bind %s: %w", b.Full, err)
	}
	if answer[1] == "" {
		return gen, nil, nil
	}
	replaced, err := decodeBinding(bare, b.Full.Resource(), answer[1])
	if err != nil {
		return gen, nil, nil //nolint:nilerr // it is replaced whatever it said
	}
	return gen, &replaced, nil
}

// Update implements router.Registry.
func (l *Shared) Update(ctx context.Context, b router.Binding) error {
	return l.rebind(ctx, b.Full, b.Gen, encodeBinding(&b))
}

// Unbind implements router.Registry.
func (l *Shared) Unbind(ctx context.Context, full jid.JID, gen uint64) error {
	return l.rebind(ctx, full, gen, nil)
}

func (l *Shared) rebind(ctx context.Context, full jid.JID, gen uint64, data []byte) error {
	bare := full.Bare()
	payload, rings := l.echoes.expect()
	defer l.echoes.forget(payload)
	cmd, err := l.surely(ctx, rebindScript, []string{l.bindingsKey(bare)}, full.Resource(), gen, data, l.boundChannel(), bare.String(), l.bell(), payload)
	l.cache.forget(bare)
	if err != nil {
		return fmt.Errorf("change binding of %s: %w", full, err)
	}
	if changed, err := cmd.Bool(); err == nil && changed {
		l.abreast(ctx, rings)
	}
	return nil
}

// Lookup implements router.Registry.
func (l *Shared) Lookup(ctx context.Context, bare jid.JID) ([]router.Binding, error) {
	list, mark, ok := l.cache.get(bare)
	if ok {
		return list, nil
	}
	var all map[string]string
	err := l.insist(ctx, func() (err error) {
		// With redis.replicas a pipeline is not answered by a master that was
		// replaced and does not know it yet.
		line := l.cfg.Client.Pipeline()
		cmd := line.HGetAll(ctx, l.bindingsKey(bare))
		_, _ = line.Exec(ctx) // the command has it
		all, err = cmd.Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", bare, err)
	}
	for resource, data := range all {
		if resource == "" {
			continue // the generation
		}
		b, err := decodeBinding(bare, resource, data)
		if err != nil {
			l.cfg.Log.ErrorContext(ctx, "binding", "jid", bare.String(), "err", err)
			continue
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b router.Binding) int {
		if a.Gen < b.Gen {
			return -1
		}
		return 1
	})
	l.cache.put(bare, list, mark)
	return list, nil
}

// DropNode implements router.Registry. Bindings go with their sessions, which
// are taken over one by one, so there is nothing to drop at once.
func (l *Shared) DropNode(context.Context, router.NodeID) error { return nil }

// cache holds bindings that were read. Every change is told to all nodes, which
// forget what they hold; while a node cannot hear, it holds nothing.
type cache struct {
	mu    sync.RWMutex // guards all below
	deaf  bool
	marks [256]uint64 // grow when something of that shard is forgotten
	m     map[jid.JID]held
}

type held struct {
	list []router.Binding
	at   time.Time
}

const (
	cacheRoom = 100_000
	cacheTTL  = 30 * time.Second
)

func newCache() *cache { return &cache{deaf: true, m: make(map[jid.JID]held)} }

func shardOf(bare jid.JID) byte { return byte(hashOf(bare.Local())) }

func hashOf(s string) uint32 {
	h := uint32(2166136261) // FNV-1a
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h ^ h>>16
}

// get returns what is held, or the mark to give to put.
func (c *cache) get(bare jid.JID) (list []router.Binding, mark uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if h, ok := c.m[bare]; ok && time.Since(h.at) < cacheTTL {
		return h.list, 0, true
	}
	return nil, c.marks[shardOf(bare)], false
}

// put holds a list unless something changed since the mark.
func (c *cache) put(bare jid.JID, list []router.Binding, mark uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deaf || c.marks[shardOf(bare)] != mark {
		return
	}
	if len(c.m) >= cacheRoom {
		clear(c.m)
	}
	c.m[bare] = held{list, time.Now()}
}

func (c *cache) isDeaf() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.deaf
}

func (c *cache) forget(bare jid.JID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks[shardOf(bare)]++
	delete(c.m, bare)
}

// listening says whether changes are heard; what was held before is forgotten.
func (c *cache) listening(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = !yes
	c.drop()
}

// clear forgets all.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
}

// drop is clear with the lock held.
func (c *cache) drop() {
	for i := range c.marks {
		c.marks[i]++
	}
	clear(c.m)
}
