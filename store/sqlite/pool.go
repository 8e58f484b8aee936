package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"
)

// handle is one connection and its prepared statements. One goroutine at a
// time uses it.
//
// Its statements run to their end whatever becomes of the caller: they take
// microseconds, and interrupting one costs the driver two goroutines a call.
type handle struct {
	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt // by query text; all queries are constants
}

func (h *handle) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := h.stmts[query]; st != nil {
		return st, nil
	}
	st, err := h.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	h.stmts[query] = st
	return st, nil
}

// exec runs a statement and returns the number of rows it changed.
func (h *handle) exec(ctx context.Context, query string, args ...any) (int64, error) {
	st, err := h.prepare(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query calls scan for each row.
func (h *handle) query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	st, err := h.prepare(ctx, query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// row is the first row of a query; Scan returns its errors.
func (h *handle) row(ctx context.Context, query string, args ...any) row {
	st, err := h.prepare(ctx, query)
	if err != nil {
		return row{err: err}
	}
	return row{row: st.QueryRowContext(ctx, args...)}
}

type row struct {
	row *sql.Row
	err error
}

// Scan reads the row's columns; sql.ErrNoRows if there is none.
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.row.Scan(dest...)
}

func (h *handle) close() error {
	var err error
	for _, st := range h.stmts {
		err = errors.Join(err, st.Close())
	}
	return errors.Join(err, h.conn.Close(), h.db.Close())
}

// pool is a bounded set of connections, opened when first needed.
type pool struct {
	idle chan *handle // nil stands for a connection not opened yet
	open func(context.Context) (*handle, error)
	quit chan struct{}
	once sync.Once
}

// newPool returns a pool of n connections, the first of which may be there
// already. One without open keeps the first for ever.
func newPool(n int, first *handle, open func(context.Context) (*handle, error)) *pool {
	p := &pool{idle: make(chan *handle, n), open: open, quit: make(chan struct{})}
	p.idle <- first
	for range n - 1 {
		p.idle <- nil
	}
	return p
}

// get waits for a connection.
func (p *pool) get(ctx context.Context) (*handle, error) {
	select {
	case <-p.quit:
		return nil, ErrClosed
	default:
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.quit:
		return nil, ErrClosed
	case h := <-p.idle:
		if h != nil {
			return h, nil
		}
		h, err := p.open(context.WithoutCancel(ctx))
		if err != nil {
			p.idle <- nil
		}
		return h, err
	}
}

func (p *pool) put(h *handle) { p.idle <- h }

// giveBack returns a connection after use; one that broke is closed and opened
// anew when next needed.
func (p *pool) giveBack(h *handle, err error) {
	if p.open != nil && isBroken(err) {
		_ = h.close() // it broke; the error that says so is on its way to the caller
		h = nil
	}
	p.put(h)
}

// close waits for the connections in use and closes all.
func (p *pool) close() error {
	var err error
	p.once.Do(func() {
		close(p.quit)
		for range cap(p.idle) {
			if h := <-p.idle; h != nil {
				err = errors.Join(err, h.close())
			}
		}
	})
	return err
}

// read runs fn on a connection for reading.
func (s *Store) read(ctx context.Context, fn func(context.Context, *handle) error) error {
	h, err := s.reads.get(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	err = fn(context.WithoutCancel(ctx), h)
	s.reads.giveBack(h, err)
	err = classify(err)
	s.cfg.OnRead(time.Since(start), machine(err))
	return err
}

// view is read with several statements that see the same state.
func (s *Store) view(ctx context.Context, fn func(context.Context, *handle) error) error {
	return s.read(ctx, func(ctx context.Context, h *handle) error {
		if _, err := h.exec(ctx, "BEGIN DEFERRED"); err != nil {
			return err
		}
		err := fn(ctx, h)
		_, end := h.exec(ctx, "ROLLBACK")
		return errors.Join(err, end)
	})
}
