package pbx

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// connect makes one connection after the other.
func (s *Source) connect(ctx context.Context) {
	wait, told := s.cfg.Retry, ""
	for {
		began := time.Now()
		s.board.begin()
		err := s.cfg.Talk(ctx, s.board)
		_, whole, _ := s.board.status()
		s.board.begin()
		if ctx.Err() != nil {
			return
		}
		if whole && time.Since(began) >= goodFor*s.cfg.Retry {
			wait = s.cfg.Retry
		}
		if whole {
			told = ""
		}
		told = s.failed(ctx, err, told)
		pause := wait
		if wait = min(2*wait, most); errors.Is(err, ErrRefused) {
			pause = refused
		}
		timer := time.NewTimer(pause + rand.N(pause)) //nolint:gosec // jitter
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// failed notes why a connection is over, and returns it. It is logged when it is news.
func (s *Source) failed(ctx context.Context, err error, told string) string {
	if err == nil {
		err = errClosed
	}
	why := err.Error()
	s.mu.Lock()
	s.status.Err, s.status.Since = why, time.Now()
	s.mu.Unlock()
	level := slog.LevelWarn
	if why == told {
		level = slog.LevelDebug
	}
	s.cfg.Log.Log(ctx, level, "telephone switch away", "source", s.cfg.Name, "err", why)
	return why
}

// Try speaks with a switch until it has told the full picture, and counts the lines.
func Try(ctx context.Context, talk Talk, limit int) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, done := NewBoard(limit), make(chan struct{})
	var failed error // before done
	go func() {
		defer close(done)
		failed = talk(ctx, b)
	}()
	for {
		select {
		case <-b.wake:
			if lines, whole, _ := b.status(); whole {
				cancel()
				<-done
				return lines, nil
			}
		case <-done:
			if lines, whole, _ := b.status(); whole {
				return lines, nil
			}
			if failed == nil {
				failed = errClosed
			}
			return 0, failed
		}
	}
}
