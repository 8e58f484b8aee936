package oauth

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Service checks tokens. Safe for concurrent use.
type Service struct {
	refused func(reason string)
	rest    time.Duration
	log     *slog.Logger

	mu      sync.Mutex // guards all below
	set     *set
	changed chan struct{} // closed when set is replaced
}

// set is the issuers in force; it never changes.
type set struct {
	issuers []*issuer
	// byDomain has those of each domain in the order of the configuration.
	byDomain map[string][]*issuer
}

// issuer is one of them with its keys.
type issuer struct {
	Issuer
	claims []claim
	ring   *keyring
}

// New makes a Service. The error is about a file that cannot be read.
func New(cfg Config) (*Service, error) {
	s := &Service{refused: cfg.Refused, rest: cmp.Or(cfg.AskAgain, askAgain), log: cfg.Log, set: &set{}, changed: make(chan struct{})}
	if s.refused == nil {
		s.refused = func(string) {}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	commit, err := s.Prepare(cfg.Issuers)
	if err != nil {
		return nil, err
	}
	commit()
	return s, nil
}

// Prepare gets other issuers ready; commit puts them in force. Keys of those
// that stay are kept until they have been fetched anew.
func (s *Service) Prepare(issuers []Issuer) (commit func(), err error) {
	next := &set{byDomain: map[string][]*issuer{}}
	for _, i := range issuers {
		src, err := newSource(i)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: %w", i.Name, err)
		}
		claims, err := parseClaims(i.Claims)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: %w", i.Name, err)
		}
		one := &issuer{Issuer: i, claims: claims, ring: newKeyring(src, i, s.rest, s.log)}
		next.issuers = append(next.issuers, one)
		for _, d := range i.Domains {
			next.byDomain[d] = append(next.byDomain[d], one)
		}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, one := range next.issuers {
			for _, old := range s.set.issuers {
				if old.Name == one.Name && old.JWKSURL == one.JWKSURL && old.JWKSFile == one.JWKSFile {
					one.ring.inherit(old.ring)
				}
			}
		}
		s.set = next
		close(s.changed)
		s.changed = make(chan struct{})
	}, nil
}

func (s *Service) current() (*set, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set, s.changed
}

// Issuers returns what is in force.
func (s *Service) Issuers() []Issuer {
	set, _ := s.current()
	list := make([]Issuer, len(set.issuers))
	for i, one := range set.issuers {
		list[i] = one.Issuer
	}
	return list
}

// Run keeps the keys of all issuers fresh until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		set, changed := s.current()
		inner, stop := context.WithCancel(ctx)
		var rings sync.WaitGroup
		for _, one := range set.issuers {
			rings.Go(func() { one.ring.run(inner) })
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
		stop()
		rings.Wait()
	}
	return nil
}

// Offered reports whether users of a domain can sign in by token.
func (s *Service) Offered(domain string) bool {
	set, _ := s.current()
	return len(set.byDomain[domain]) > 0
}

// Keys tells what is known of an issuer's keys.
type Keys struct {
	Issuer string
	Domain string        // the first that it vouches for
	Count  int           // that can be used now
	Age    time.Duration // since the last look that went well; negative: there was none
}

// Keys returns that of all issuers.
func (s *Service) Keys() []Keys {
	set, _ := s.current()
	list := make([]Keys, len(set.issuers))
	for i, one := range set.issuers {
		list[i] = Keys{Issuer: one.Name, Domain: one.Domains[0]}
		list[i].Count, list[i].Age = one.ring.stats()
	}
	return list
}
