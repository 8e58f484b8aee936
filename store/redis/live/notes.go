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
	Set  map[string]Note   `json:"set,omitempty"`  // by name
	Drop map[string]string `json:"-"`              // texts of notes that are no more, by name; one that is another by now stays
	Said []string          `json:"said,omitempty"` // what is not kept
	Rung []string          `json:"rung,omitempty"` // that calendars have changed, which is not kept either
}

// Note is one version of a piece. A node that stood still or was cut off may tell an earlier one late; that
// does not replace a later one until the time that the later one has.
type Note struct {
	Text    string
	Version uint64
	Until   time.Time
}

// MarshalText implements encoding.TextMarshaler: those that are there hear the text alone.
func (n Note) MarshalText() ([]byte, error) { return []byte(n.Text), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Note) UnmarshalText(text []byte) error {
	n.Text = string(text)
	return nil
}

func (l *Shared) notesKey() string { return l.cfg.Prefix + "notes" }

func (l *Shared) versionsKey() string { return l.cfg.Prefix + "notes:versions" }

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
			// In full: a Redis that was started anew knows no scripts, and a pipeline does not find out in time.
			noteScript.Eval(ctx, p, []string{l.notesKey(), l.versionsKey()}, n.args(time.Now())...)
		}
		if len(n.Drop) > 0 {
			args := make([]any, 0, 2*len(n.Drop))
			for name, text := range n.Drop {
				args = append(args, name, text)
			}
			forgetScript.Eval(ctx, p, []string{l.notesKey(), l.versionsKey()}, args...)
		}
		p.Publish(ctx, l.notesChannel(), text)
		return nil
	})
	if err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}

// args are those of the script.
func (n *News) args(now time.Time) []any {
	args := make([]any, 0, 2+4*len(n.Set))
	args = append(args, now.UnixMilli(), notesLast.Milliseconds())
	for name, note := range n.Set {
		args = append(args, name, note.Text, note.Version, max(note.Until.UnixMilli(), 0))
	}
	return args
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
