package live

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/router"
)

// Notes are what every node knows as well as every other, in small pieces by name: what
// phones and calendars tell of users. They are kept for the nodes that come later, and
// told to those that are there.

// notesLast is how long notes outlive the last of them; no evidence lasts longer.
const notesLast = 48 * time.Hour

// News is what one node tells all others.
type News struct {
	From router.NodeID     `json:"from"`
	Set  map[string]string `json:"set,omitempty"`  // notes, by name
	Drop []string          `json:"drop,omitempty"` // notes that are no more
	Said []string          `json:"said,omitempty"` // what is not kept
	Rung []string          `json:"rung,omitempty"` // that calendars have changed, which is not kept either
}

func (l *Shared) notesKey() string { return l.cfg.Prefix + "notes" }

func (l *Shared) notesChannel() string { return l.cfg.Prefix + "notes" }

// Announce keeps and tells news. It may be repeated after an error.
func (l *Shared) Announce(ctx context.Context, n News) error {
	n.From = l.cfg.Node
	text, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	_, err = l.cfg.Client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		if len(n.Set) > 0 {
			p.HSet(ctx, l.notesKey(), n.Set)
			p.PExpire(ctx, l.notesKey(), notesLast)
		}
		if len(n.Drop) > 0 {
			p.HDel(ctx, l.notesKey(), n.Drop...)
		}
		p.Publish(ctx, l.notesChannel(), text)
		return nil
	})
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

// Notes returns all notes that are kept, those that have had their time included.
func (l *Shared) Notes(ctx context.Context) (map[string]string, error) {
	all, err := l.cfg.Client.HGetAll(ctx, l.notesKey()).Result()
	if err != nil {
		return nil, fmt.Errorf("notes: %w", err)
	}
	return all, nil
}

// hearNews passes on what another node tells.
func (l *Shared) hearNews(ctx context.Context, text string) {
	var n News
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		l.cfg.Log.WarnContext(ctx, "news of another node", "err", err)
		return
	}
	if l.cfg.News != nil && n.From != l.cfg.Node {
		l.cfg.News(n)
	}
}
