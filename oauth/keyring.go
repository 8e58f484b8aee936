package oauth

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// fetchTime is how long a look at the keys may take, with discovery.
	fetchTime = 8 * time.Second
	askAgain  = 10 * time.Second // the default of Config.AskAgain
	// A look that failed is repeated after these, growing.
	firstRetry, lastRetry = 2 * time.Second, time.Minute
	// filePace is between two looks at a file at most.
	filePace = 10 * time.Second
)

// keyring holds the keys of one issuer. One goroutine fetches them, run; all
// others wait for it.
type keyring struct {
	src  *source
	name string
	keep time.Duration
	pace time.Duration // between two looks
	rest time.Duration // between two that unknown keys cause
	log  *slog.Logger
	poke chan struct{} // wakes run

	mu      sync.Mutex // guards all below
	keys    []key
	fetched time.Time     // the last look that went well
	began   time.Time     // the last look
	failing bool          // it did not go well
	over    chan struct{} // closed when the look under way or asked for is over; nil = none
}

func newKeyring(src *source, i Issuer, rest time.Duration, log *slog.Logger) *keyring {
	pace := i.Refresh
	if i.JWKSFile != "" {
		pace = min(pace, filePace)
	}
	return &keyring{src: src, name: i.Name, keep: i.KeepKeys, pace: pace, rest: rest, log: log, poke: make(chan struct{}, 1)}
}

// inherit takes over what another ring of the same issuer knows.
func (r *keyring) inherit(old *keyring) {
	old.mu.Lock()
	keys, fetched, failing := old.keys, old.fetched, old.failing
	old.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.fetched, r.failing = keys, fetched, failing
}

// usable returns the keys that are good now. The lock is held.
func (r *keyring) usable(now time.Time) []key {
	if r.fetched.IsZero() || now.Sub(r.fetched) > r.keep {
		return nil
	}
	return r.keys
}

func (r *keyring) stats() (count int, age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fetched.IsZero() {
		return 0, -1
	}
	now := time.Now()
	return len(r.usable(now)), now.Sub(r.fetched)
}

// find returns the key of a signature. If it is not there, and the issuer has
// not just been asked, it waits for another look. The error is errUnknownKey,
// errNoKeys, or that of ctx.
func (r *keyring) find(ctx context.Context, id, alg string) (key, error) {
	k, over, err := r.look(id, alg)
	if err == nil || over == nil {
		return k, err
	}
	timer := time.NewTimer(fetchTime + time.Second)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	case <-ctx.Done():
		return key{}, ctx.Err()
	}
	k, _, err = r.look(id, alg)
	return k, err
}

// look is find without waiting; over is closed when it is worth trying again.
func (r *keyring) look(id, alg string) (k key, over <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	keys := r.usable(now)
	k, ok := pick(keys, id, alg)
	if ok {
		return k, nil, nil
	}
	err = errUnknownKey
	if len(keys) == 0 {
		err = errNoKeys
	}
	if r.over == nil {
		if !r.began.IsZero() && now.Sub(r.began) < r.rest {
			return key{}, nil, err
		}
		r.over = make(chan struct{})
		r.began = now // counts from here, whenever run comes to it
		select {
		case r.poke <- struct{}{}:
		default:
		}
	}
	return key{}, r.over, err
}

// run looks at the keys again and again until ctx ends.
func (r *keyring) run(ctx context.Context) {
	retry := firstRetry
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.poke:
		}
		next := r.pace
		if err := r.fetch(ctx); err != nil {
			next, retry = min(retry, r.pace), min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		timer.Reset(next)
	}
}

// fetch looks at the keys once.
func (r *keyring) fetch(ctx context.Context) error {
	r.mu.Lock()
	r.began = time.Now()
	if r.over == nil {
		r.over = make(chan struct{})
	}
	r.mu.Unlock()
	inner, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	found, err := r.src.load(inner)
	now := time.Now()

	r.mu.Lock()
	first, failed := r.fetched.IsZero(), r.failing
	age := now.Sub(r.fetched)
	r.failing = err != nil
	if err == nil {
		r.keys, r.fetched = found.keys, now
	}
	close(r.over)
	r.over = nil
	r.mu.Unlock()

	switch {
	case err != nil && ctx.Err() != nil: // not the issuer's fault
	case err != nil && first:
		r.log.WarnContext(ctx, "the keys of an issuer of tokens cannot be had; nobody can sign in with them", "issuer", r.name, "err", err)
	case err != nil && !failed:
		r.log.WarnContext(ctx, "the keys of an issuer of tokens cannot be had; those known are kept", "issuer", r.name, "err", err, "age", age.Round(time.Second).String(), "keep", r.keep.String())
	case err == nil && (first || failed):
		r.log.InfoContext(ctx, "the keys of an issuer of tokens are there", "issuer", r.name, "keys", len(found.keys))
	}
	return err
}
