package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// telephones listen to what lines do over SIP, if anybody is to tell.
type telephones struct {
	n    *node
	wake chan struct{}

	mu      sync.Mutex    // guards all below
	wanted  *sip.Config   // nil = none
	source  *sip.Source   // that listens; nil = none, or it could not and is tried again
	dropped []*sip.Source // that may still listen
	clear   chan struct{} // closed when there are none; nil = there are none
}

func newTelephones(n *node) *telephones { return &telephones{n: n, wake: make(chan struct{}, 1)} }

// now returns the source that listens, nil if none does.
func (p *telephones) now() *sip.Source {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.source
}

// config returns what is wanted, nil for nothing.
func (p *telephones) config() *sip.Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted
}

// refresh looks up again whose lines are.
func (p *telephones) refresh() {
	if s := p.now(); s != nil {
		s.Refresh()
	}
}

// rewiring is what telephones are to be, ready to be put in force by one of its functions.
type rewiring struct{ commit, abort func() }

// prepare reads what the configuration names and opens ports that are new, and changes nothing.
func (p *telephones) prepare(ctx context.Context, cfg configs.Config) (rewiring, error) {
	next, err := telephoneConfig(cfg.SIP, p.n.certs, p.n.composing.lineMap, p.n.owns, p.n.log)
	if err != nil {
		return rewiring{}, err
	}
	if next == nil {
		return rewiring{func() { p.set(nil, nil) }, func() {}}, nil
	}
	if source := p.now(); source != nil {
		change, err := source.Prepare(ctx, *next)
		if err != nil {
			return rewiring{}, keyed(err)
		}
		return rewiring{func() { change.Commit(); p.adapted(source, next) }, change.Abort}, nil
	}
	source, err := openSource(ctx, next)
	if errors.Is(err, syscall.EADDRINUSE) && p.cleared(ctx) { // it was that of the reload before
		source, err = openSource(ctx, next)
	}
	if err != nil {
		return rewiring{}, err
	}
	return rewiring{func() { p.set(next, source) }, source.Close}, nil
}

// clearing bounds how long a port is waited for that is being let go of.
const clearing = 10 * time.Second

// cleared waits until no source that was dropped listens any more.
func (p *telephones) cleared(ctx context.Context) bool {
	p.mu.Lock()
	clear := p.clear
	p.mu.Unlock()
	if clear == nil {
		return false
	}
	select {
	case <-clear:
		return true
	case <-ctx.Done():
	case <-time.After(clearing):
	}
	return false
}

// keyed names the key of a port that cannot be had.
func keyed(err error) error {
	switch {
	case errors.Is(err, sip.ErrTLSPort):
		return fmt.Errorf("sip.tls_listen: %w", err)
	case errors.Is(err, sip.ErrPort):
		return fmt.Errorf("sip.listen: %w", err)
	case errors.Is(err, sip.ErrLists):
		return fmt.Errorf("sip.subscribe: %w", err)
	}
	return fmt.Errorf("sip: %w", err)
}

func openSource(ctx context.Context, cfg *sip.Config) (*sip.Source, error) {
	source, err := sip.New(*cfg)
	if err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	if err := source.Listen(ctx); err != nil {
		source.Close()
		return nil, keyed(err)
	}
	return source, nil
}

// set has a source run, or none, in the place of another one.
func (p *telephones) set(cfg *sip.Config, source *sip.Source) {
	p.mu.Lock()
	p.drop(p.source)
	p.wanted, p.source = cfg, source
	p.mu.Unlock()
	p.rouse()
}

// adapted notes what a source goes by. Should it have ended meanwhile, it is opened again by that.
func (p *telephones) adapted(source *sip.Source, cfg *sip.Config) {
	p.mu.Lock()
	if p.wanted = cfg; p.source != source {
		p.drop(p.source)
		p.source = nil
	}
	p.mu.Unlock()
	p.rouse()
}

// drop has a source ended. It is called with the lock held.
func (p *telephones) drop(source *sip.Source) {
	if source == nil {
		return
	}
	if p.dropped = append(p.dropped, source); p.clear == nil {
		p.clear = make(chan struct{})
	}
}

func (p *telephones) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// sweep ends what was dropped. end is for what runs; others have only opened their ports.
func (p *telephones) sweep(end func(*sip.Source) bool) {
	p.mu.Lock()
	all := p.dropped
	p.dropped = nil
	p.mu.Unlock()
	for _, s := range all {
		if !end(s) {
			s.Close()
		}
	}
	p.mu.Lock()
	if len(p.dropped) == 0 && p.clear != nil {
		close(p.clear)
		p.clear = nil
	}
	p.mu.Unlock()
}

// turn is one source that runs.
type turn struct {
	source *sip.Source
	stop   context.CancelFunc
	began  time.Time
	ended  chan error
}

// run runs the source that is wanted until ctx ends, and opens one that failed again. What
// it said counts until it expires, unless nobody is to tell any more.
func (p *telephones) run(ctx context.Context) error {
	var at turn
	wait := firstRetry
	var retry <-chan time.Time
	for {
		p.sweep(func(s *sip.Source) bool { return p.end(ctx, &at, s) })
		if now := p.now(); now != nil && at.source == nil {
			at = p.begin(ctx, now)
		}
		if at.source == nil && retry == nil && p.config() != nil {
			retry = time.After(wait)
			wait = min(2*wait, lastRetry)
		}
		select {
		case <-ctx.Done():
			ran := at.source
			if ran != nil {
				p.end(ctx, &at, ran)
			}
			p.set(nil, nil)
			p.sweep(func(s *sip.Source) bool { return s == ran })
			return nil
		case <-p.wake:
		case err := <-at.ended:
			at.stop()
			if time.Since(at.began) > lastRetry {
				wait = firstRetry
			}
			p.lost(at.source)
			at = turn{}
			if ctx.Err() == nil {
				p.n.log.ErrorContext(ctx, "a source of presence ended, it is begun again", "source", "sip", "after", wait, "err", err)
			}
		case <-retry:
			retry = nil
			p.again(ctx)
		}
	}
}

func (p *telephones) begin(ctx context.Context, source *sip.Source) turn {
	ctx, stop := context.WithCancel(ctx)
	t := turn{source, stop, time.Now(), make(chan error, 1)}
	go func() { t.ended <- p.n.presence.RunSource(ctx, source) }()
	return t
}

// end ends a source if it is the one that runs, and reports whether it is.
func (p *telephones) end(ctx context.Context, at *turn, source *sip.Source) bool {
	if at.source != source {
		return false
	}
	at.stop()
	if err := <-at.ended; err != nil && !errors.Is(err, context.Canceled) {
		p.n.log.WarnContext(ctx, "end a source of presence", "source", "sip", "err", err)
	}
	*at = turn{}
	if p.config() == nil {
		p.forget(source)
	}
	return true
}

// lost notes that a source has ended by itself.
func (p *telephones) lost(source *sip.Source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.source == source {
		p.source = nil
	}
	p.dropped = slices.DeleteFunc(p.dropped, func(s *sip.Source) bool { return s == source })
}

// again opens a source in the place of one that ended.
func (p *telephones) again(ctx context.Context) {
	cfg := p.config()
	if cfg == nil || p.now() != nil {
		return
	}
	source, err := openSource(ctx, cfg)
	if err != nil {
		p.n.log.ErrorContext(ctx, "begin a source of presence", "source", "sip", "err", err)
		return
	}
	p.mu.Lock()
	faster := p.source != nil || p.wanted != cfg // a reload was
	if !faster {
		p.source = source
	}
	p.mu.Unlock()
	if faster {
		source.Close()
	}
}

// forget takes back what a source that has ended told, where no other node has heard more.
func (p *telephones) forget(source *sip.Source) {
	for _, e := range source.Told() {
		e.Line, e.Expires = presence.LineUnknown, time.Time{}
		if err := p.n.presence.Observe(e); err != nil {
			p.n.log.Debug("evidence", "jid", e.User.String(), "source", e.Source, "item", e.Item, "err", err)
		}
	}
}
