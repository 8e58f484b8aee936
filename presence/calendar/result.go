package calendar

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Result is what was had of one of several calendars.
type Result struct {
	Answer Answer
	Err    error
}

// Failure is an error that says how to go on.
type Failure struct {
	Err   error
	Own   bool          // of this one calendar, not of its server
	After time.Duration // when the server wishes to be asked again; 0 = it does not say
	Fewer bool          // of fewer calendars at once it might tell
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Own reports whether an error is of one calendar alone: its server answers.
func Own(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Own
}

// fewer reports whether a server that is asked for fewer at once may manage.
func fewer(err error) bool {
	var f *Failure
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &f) && f.Fewer
}

// single makes of a way to have one calendar one to have several.
func single(fetch func(context.Context, Ask) (Answer, error)) func(context.Context, []Ask) ([]Result, error) {
	return func(ctx context.Context, asks []Ask) ([]Result, error) {
		results := make([]Result, len(asks))
		for i, ask := range asks {
			results[i].Answer, results[i].Err = fetch(ctx, ask)
		}
		return results, nil
	}
}

// failed says when to ask again, for one calendar or for all of the server.
func (p *Poller) failed(e *entry, err error, now time.Time) {
	p.stats.Failed++
	if Own(err) {
		if e.failures++; e.failures == 1 {
			level := slog.LevelWarn
			if p.warned++; p.warned > maxWarned { // many may have no calendar at all
				level = slog.LevelDebug
			}
			p.Log.Log(context.Background(), level, "calendar cannot be read", "source", p.Name, "jid", e.user.String(), "err", err)
		}
		e.due = now.Add(jitter(min(maxOwn, p.Refresh<<min(e.failures-1, 6))))
		return
	}
	if p.pause == 0 {
		p.Log.Warn("calendars do not answer, what they said counts until it expires", "source", p.Name, "err", err)
	}
	// Those on their way when a server dies fail together and count once.
	if !now.Before(p.paused) {
		p.pause = min(maxPause, max(firstPause, 2*p.pause))
		wait := jitter(p.pause)
		var f *Failure
		if errors.As(err, &f) && f.After > 0 {
			wait = max(wait, min(f.After, time.Hour))
		}
		p.paused = now.Add(wait)
	}
	e.failures++
	e.due = now.Add(jitter(min(p.Refresh, firstPause<<min(e.failures, 12))))
}

// Brief is the beginning of what a server says of an error, fit for a log.
func Brief(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || unicode.Is(unicode.C, r) {
			return ' '
		}
		return r
	}, text[:min(len(text), most)])
	return strings.TrimSpace(text)
}
