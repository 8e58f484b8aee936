package ldap

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// maxWaiting bounds the operations of each purpose that wait for a connection.
const maxWaiting = 512

// Directory is a directory of people. Safe for concurrent use.
type Directory struct {
	cfg      Config
	settings atomic.Pointer[Settings]
	servers  []*server
	slots    [purposes]chan struct{}
	waiting  [purposes]atomic.Int64
	people   picture
	chain    atomic.Bool   // the server follows groups within groups itself
	kick     chan struct{} // asks Run to read everything again
	unknown  chan string   // DNs of people that Run has not read yet
	changed  chan struct{} // has one after each change of who may chat
	suspect  atomic.Bool   // see Stats
	loading  atomic.Int64  // people read so far by a read under way
}

// New makes a Directory. It connects when it is asked for something.
func New(cfg Config) (*Directory, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	t, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	d := &Directory{cfg: cfg, kick: make(chan struct{}, 1), unknown: make(chan string, 256), changed: make(chan struct{}, 1)}
	d.settings.Store(&cfg.Settings)
	d.people.init()
	for _, text := range cfg.URLs {
		s, err := newServer(cfg, text, t)
		if err != nil {
			return nil, err
		}
		d.servers = append(d.servers, s)
	}
	for p := range d.slots {
		d.slots[p] = make(chan struct{}, cfg.Pool)
	}
	return d, nil
}

// Close closes connections that lie idle; those in use are closed after that.
func (d *Directory) Close() {
	for _, s := range d.servers {
		s.close()
	}
}

// Settings returns what is in force.
func (d *Directory) Settings() Settings { return *d.settings.Load() }

// SetSettings puts s in force, and has everything read again.
func (d *Directory) SetSettings(s Settings) error {
	s, err := s.complete(schemas[d.schema()])
	if err != nil {
		return err
	}
	if reflect.DeepEqual(s, d.Settings()) {
		return nil
	}
	d.settings.Store(&s)
	select {
	case d.kick <- struct{}{}:
	default: // it is to be done anyway
	}
	return nil
}

func (d *Directory) schema() string {
	if d.cfg.Schema == "" {
		return "openldap"
	}
	return d.cfg.Schema
}

// Changed has a value after who may use chat has changed.
func (d *Directory) Changed() <-chan struct{} { return d.changed }

func (d *Directory) tell() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// slot waits for room among the operations of a purpose.
func (d *Directory) slot(ctx context.Context, p purpose) error {
	if d.waiting[p].Add(1) > maxWaiting {
		d.waiting[p].Add(-1)
		return ErrBusy
	}
	defer d.waiting[p].Add(-1)
	select {
	case d.slots[p] <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
}

// do carries out f on a connection of the first server that answers. The error is
// what a server said, or wraps ErrAway or ErrBusy.
func (d *Directory) do(ctx context.Context, p purpose, name string, f func(*goldap.Conn) error) error {
	ctx, cancel := withTimeout(ctx, d.Settings().Timeout)
	defer cancel()
	if err := d.slot(ctx, p); err != nil {
		return err
	}
	defer func() { <-d.slots[p] }()
	var errs []error
	for i, s := range d.servers {
		if !s.admit(time.Now()) {
			continue
		}
		if ctx.Err() != nil {
			s.release()
			break
		}
		// A server that hangs leaves the others their part of the time.
		attempt, cancel := share(ctx, len(d.servers)-i)
		err := d.try(attempt, s, p, name, f)
		cancel()
		if !failed(err) {
			s.report(ctx, nil)
			return err
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			s.release() // the client is gone, which is not the server's fault
			return ctx.Err()
		}
		s.report(ctx, err)
		errs = append(errs, fmt.Errorf("%s: %w", s.url, said(err)))
	}
	return fmt.Errorf("%w: %w", ErrAway, d.why(errs))
}

// why is what went wrong, now or when the servers were last tried.
func (d *Directory) why(errs []error) error {
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, s := range d.servers {
		if err, _ := s.state(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.url, said(err)))
		}
	}
	return errors.Join(errs...)
}

// try carries out f on one server, and once more if the connection was an old one
// that turned out to be closed.
func (d *Directory) try(ctx context.Context, s *server, p purpose, name string, f func(*goldap.Conn) error) error {
	for {
		c, err := s.take(ctx, p)
		if err != nil {
			return err
		}
		began := time.Now()
		err = c.run(ctx, f)
		d.cfg.Metrics.Operation(name, time.Since(began), failure(err))
		again := c.broken && c.reused && ctx.Err() == nil && failed(err)
		s.put(p, c)
		if !again {
			return err
		}
	}
}

// failure is err unless it is an answer such as a wrong password.
func failure(err error) error {
	if failed(err) {
		return err
	}
	return nil
}

// share is a context with an equal part of the time that is left.
func share(ctx context.Context, parts int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || parts <= 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(parts))
}

// open returns a connection of its own for reading much, bound as the service.
func (d *Directory) open(ctx context.Context) (*conn, error) {
	var errs []error
	for _, s := range d.servers {
		if !s.admit(time.Now()) {
			continue
		}
		c, err := s.dial(ctx, true)
		if err == nil {
			s.report(ctx, nil)
			return c, nil
		}
		if ctx.Err() != nil {
			s.release()
			return nil, ctx.Err()
		}
		s.report(ctx, err)
		errs = append(errs, fmt.Errorf("%s: %w", s.url, said(err)))
	}
	return nil, fmt.Errorf("%w: %w", ErrAway, d.why(errs))
}
