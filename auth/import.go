package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// ImportOptions tune an import. The zero value is fine.
type ImportOptions struct {
	// Progress is called now and then, from the goroutine that called Import,
	// with the number of accounts whose keys are ready.
	Progress func(done, total int)
	// Workers is how many derive keys at a time; default: all processors. A
	// server with clients should leave one to them.
	Workers int
	// Pattern makes local parts, as {login}_{company} of the two columns; default
	// {login}.
	Pattern string
	// Increment puts a number behind a login that somebody has already, in place
	// of refusing it.
	Increment bool
	// Assigned, if not nil, has passwords made that the file lacks. It is told of
	// all that was made before the accounts are; on an error none is.
	Assigned func([]Assigned) error
}

// LineError is what is wrong with one line of an import.
type LineError struct {
	Line int
	Err  error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// ImportError says why nothing was imported, for the first lines that are
// wrong.
type ImportError struct {
	Lines []*LineError
	More  bool // there may be more than these
}

// Error implements error, one line of text for each line.
func (e *ImportError) Error() string {
	var b strings.Builder
	for i, l := range e.Lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(l.Error())
	}
	if e.More {
		b.WriteString("\n… and perhaps more")
	}
	return b.String()
}

// Unwrap returns the errors of the lines.
func (e *ImportError) Unwrap() []error {
	all := make([]error, len(e.Lines))
	for i, l := range e.Lines {
		all[i] = l
	}
	return all
}

// Import creates the accounts of a CSV file in a domain and returns how many.
// The columns are user, password, name, email, groups and company, of which the
// last four may be absent and groups are separated by semicolons; a first line
// with these words puts them in another order. All accounts are created or none: an
// *ImportError tells which lines are wrong.
func (s *Service) Import(ctx context.Context, r io.Reader, domain string, o ImportOptions) (int, error) {
	o.Pattern = cmp.Or(o.Pattern, loginMark)
	rows, err := readRows(r, domain, o)
	if err != nil {
		return 0, err
	}
	if o.Increment {
		err = s.increment(ctx, rows, o.Pattern, domain)
	} else {
		err = s.refuseExisting(ctx, rows)
	}
	if err != nil {
		return 0, err
	}
	if o.Assigned != nil {
		if err := o.Assigned(generate(rows)); err != nil {
			return 0, fmt.Errorf("import accounts: %w", err)
		}
	}
	accounts, err := s.deriveRows(ctx, rows, o)
	if err != nil {
		return 0, fmt.Errorf("import accounts: %w", err)
	}
	if err := s.store.CreateAccounts(ctx, accounts, nil); err != nil {
		return 0, fmt.Errorf("import accounts: %w", err)
	}
	for _, a := range accounts {
		s.exists.forget(a.JID)
	}
	s.cfg.Load().Changed(ctx)
	return len(accounts), nil
}

// refuseExisting looks before keys are derived at length, to name the lines;
// the store decides again.
func (s *Service) refuseExisting(ctx context.Context, rows []row) error {
	var wrong collector
	for _, r := range rows {
		_, err := s.store.Account(ctx, r.account.JID)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return fmt.Errorf("look up account %s: %w", r.account.JID, err)
		case !wrong.add(r.line, fmt.Errorf("%w: %s", ErrExists, r.account.JID)):
			return wrong.err()
		}
	}
	return wrong.err()
}

// deriveRows makes the keys on all workers and reports progress on its caller.
func (s *Service) deriveRows(ctx context.Context, rows []row, o ImportOptions) ([]Account, error) {
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	created := time.Now().UTC()
	accounts := make([]Account, len(rows))
	todo := make(chan int)
	done := make(chan struct{}, workers)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(todo)
		for i := range rows {
			select {
			case todo <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range workers {
		group.Go(func() error {
			for i := range todo {
				keys, err := s.Derive(rows[i].password)
				if err != nil {
					return fmt.Errorf("line %d: %w", rows[i].line, err)
				}
				accounts[i] = rows[i].account
				accounts[i].Keys, accounts[i].Created, accounts[i].Changed = keys, created, created
				select {
				case done <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	}
	for n := 1; n <= len(rows) && ctx.Err() == nil; n++ {
		select {
		case <-done:
			if o.Progress != nil {
				o.Progress(n, len(rows))
			}
		case <-ctx.Done():
		}
	}
	return accounts, group.Wait()
}
