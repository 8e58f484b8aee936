package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// pollers ask for the calendars that the configuration names.
type pollers struct {
	n    *node
	wake chan struct{}

	mu      sync.Mutex // guards all below
	wanted  []polling
	running []*polling
}

// polling is one of presence.calendars.
type polling struct {
	cfg    configs.Calendar
	mark   [sha256.Size]byte // of all that makes it differ from another, passwords included
	source *calendar.Poller
	stop   context.CancelFunc
	done   chan struct{}
}

func newPollers(n *node) *pollers { return &pollers{n: n, wake: make(chan struct{}, 1)} }

// prepare reads what the configuration names, and changes nothing.
func (p *pollers) prepare(cfg configs.Config) ([]polling, error) {
	all := make([]polling, 0, len(cfg.Presence.Calendars))
	sources, err := calendars(cfg, p.n.composing.notices, p.n.signedIn, p.n.mailOf, p.n.log)
	if err != nil {
		return nil, err
	}
	for at, c := range cfg.Presence.Calendars {
		mark, err := markOf(c)
		if err != nil {
			return nil, fmt.Errorf("presence.calendars[%d]: %w", at, err)
		}
		all = append(all, polling{cfg: c, mark: mark, source: sources[at]})
	}
	return all, nil
}

// markOf differs where a calendar has to be begun anew. Files that are read whenever they
// are needed, such as logins_file, do not count.
func markOf(c configs.Calendar) (mark [sha256.Size]byte, err error) {
	files := []string{c.CAFile}
	if !c.Exchange() {
		files = append(files, c.PasswordFile)
	}
	sum := fmt.Appendf(nil, "%+v", c)
	for _, name := range files {
		var text []byte
		if name != "" {
			if text, err = os.ReadFile(name); err != nil {
				return mark, err
			}
		}
		sum = fmt.Appendf(sum, "\x00%x", text)
	}
	return sha256.Sum256(sum), nil
}

// set has other calendars asked for, soon.
func (p *pollers) set(wanted []polling) {
	p.mu.Lock()
	p.wanted = wanted
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// list returns what asks for calendars.
func (p *pollers) list() []*calendar.Poller {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*calendar.Poller, 0, len(p.running))
	for _, r := range p.running {
		all = append(all, r.source)
	}
	return all
}

// run asks for the calendars that are wanted, until ctx ends.
func (p *pollers) run(ctx context.Context) error {
	last := map[string]*polling{} // by name, those that have not ended yet
	for {
		p.change(ctx, last)
		select {
		case <-ctx.Done():
			for _, r := range last {
				<-r.done
			}
			return nil
		case <-p.wake:
		}
	}
}

// change ends what is not wanted as it is, and begins what is new. All else goes on.
func (p *pollers) change(ctx context.Context, last map[string]*polling) {
	p.mu.Lock()
	wanted, old := p.wanted, p.running
	p.mu.Unlock()
	var next, ended []*polling
	for _, r := range old {
		if slices.ContainsFunc(wanted, func(w polling) bool { return w.cfg.Name == r.cfg.Name && w.mark == r.mark }) {
			next = append(next, r)
			continue
		}
		r.stop()
		ended = append(ended, r)
	}
	maps.DeleteFunc(last, func(_ string, r *polling) bool { return r.over() })
	for _, w := range wanted {
		if !slices.ContainsFunc(next, func(r *polling) bool { return r.cfg.Name == w.cfg.Name }) {
			next = append(next, p.begin(ctx, w, last[w.cfg.Name]))
		}
	}
	for _, r := range next {
		last[r.cfg.Name] = r
	}
	p.mu.Lock()
	p.running = next
	p.mu.Unlock()
	logChange(ctx, p.n.log, "calendars", names(old), names(ended), names(next))
}

func (r *polling) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// begin has a calendar asked for, after the one in whose place it is.
func (p *pollers) begin(ctx context.Context, w polling, before *polling) *polling {
	one, stop := context.WithCancel(ctx)
	w.stop, w.done = stop, make(chan struct{})
	go func() {
		defer close(w.done)
		defer stop()
		if before != nil {
			<-before.done
		}
		p.n.runSource(one, w.cfg.Name, func(context.Context) (presence.Source, error) { return w.source, nil }, w.source)
		if ctx.Err() == nil {
			p.leave(ctx, w.cfg.Name)
		}
	}()
	return &w
}

func names(all []*polling) []string {
	list := make([]string, 0, len(all))
	for _, r := range all {
		list = append(list, r.cfg.Name)
	}
	return list
}

// logChange tells which sources of a kind ended and began while all others went on.
func logChange(ctx context.Context, log *slog.Logger, kind string, old, ended, next []string) {
	kept := slices.DeleteFunc(slices.Clone(old), func(name string) bool { return slices.Contains(ended, name) })
	begun := slices.DeleteFunc(slices.Clone(next), func(name string) bool { return slices.Contains(kept, name) })
	if len(ended)+len(begun) > 0 {
		log.InfoContext(ctx, "sources of presence", "kind", kind, "ended", ended, "begun", begun, "kept", len(kept))
	}
}

// leave takes back what a calendar has told that is not in the configuration any more, or
// not for that user. Of others it counts until the calendar that stands in its place answers.
func (p *pollers) leave(ctx context.Context, name string) {
	p.mu.Lock()
	at := slices.IndexFunc(p.wanted, func(w polling) bool { return w.cfg.Name == name })
	asked := func(jid.JID) bool { return false }
	if at >= 0 {
		asked = func(jid.JID) bool { return true }
		if users := p.wanted[at].cfg.Users; len(users) > 0 {
			asked = among(users)
		}
	}
	p.mu.Unlock()
	p.n.forgetOf(name, func(user jid.JID) bool { return !asked(user) && p.n.looksAfter(ctx, user) })
}

// looksAfter reports whether no other node asks for the calendars of a user.
func (n *node) looksAfter(ctx context.Context, user jid.JID) bool {
	if n.composing.share == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpAll)
	defer cancel()
	return n.composing.share.attends(ctx, user)
}
