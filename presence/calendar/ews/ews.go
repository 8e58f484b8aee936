// Package ews asks Exchange servers when users are busy, by the operation
// GetUserAvailability of Exchange Web Services, which tells of a hundred mailboxes at
// once. It asks for free and busy times alone, so that the server sends neither
// subjects nor places. It is a source for a calendar.Poller, as packages caldav and
// graph.
package ews

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// Mailboxes is how many the service tells of at most in one answer.
const Mailboxes = 100

// Tokens are how a service knows the node, in place of a password.
type Tokens interface {
	Token(ctx context.Context) (string, error)
	Refused(token string) // the next is to be another one
}

// Config is where the calendars are.
type Config struct {
	URL          string               // such as https://mail.example.com/EWS/Exchange.asmx
	Plain        bool                 // http:// off this machine is allowed
	CAFile       string               // "" = the system's
	Basic        bool                 // Username and password by Basic; else by NTLM
	Username     string               // such as EXAMPLE\presence or presence@example.com
	PasswordFile string               // read for each sign-in, so that a new one needs no restart
	Tokens       Tokens               // in place of Username
	Mailbox      func(jid.JID) string // address of a user's mailbox; "" = has none
	AskAs        string               // the mailbox to impersonate; "" = none
	AtOnce       int
	Bytes        int64 // of an answer
}

// Source fetches free and busy times.
type Source struct {
	c       Config
	t       *http.Transport
	shared  *line        // of all but NTLM
	lines   chan *line   // of NTLM, which signs in connections
	refused atomic.Int32 // sign-ins, one after another
}

// New makes a source; nothing is asked yet.
func New(c Config) (*Source, error) {
	if err := calendar.CheckURL(c.URL, c.Plain); err != nil {
		return nil, err
	}
	if c.Bytes == 0 {
		c.Bytes = 16 << 20
	}
	s := &Source{c: c, lines: make(chan *line, max(1, c.AtOnce))}
	if c.Tokens == nil {
		if _, err := s.password(); err != nil {
			return nil, err
		}
	}
	t, err := calendar.Transport(c.CAFile, c.AtOnce)
	if err != nil {
		return nil, err
	}
	var header map[string]string
	if c.AskAs != "" {
		header = map[string]string{"X-AnchorMailbox": c.AskAs} // routes to the server of who is impersonated
	}
	s.t, s.shared = t, &line{http: client(t), url: c.URL, header: header}
	for range cap(s.lines) {
		s.lines <- s.newLine(header)
	}
	return s, nil
}

func client(t *http.Transport) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *Source) password() (string, error) {
	text, err := os.ReadFile(s.c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("password of the service account: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// FetchAll is for calendar.Config.
func (s *Source) FetchAll(ctx context.Context, asks []calendar.Ask) ([]calendar.Result, error) {
	return calendar.Having(asks, s.c.Mailbox, func(asks []calendar.Ask, boxes []string) ([]calendar.Result, error) {
		var results []calendar.Result
		for at := 0; at < len(asks); at += Mailboxes {
			end := min(at+Mailboxes, len(asks))
			some, err := s.fetch(ctx, asks[at:end], boxes[at:end])
			if err != nil {
				return nil, err
			}
			results = append(results, some...)
		}
		return results, nil
	})
}

func (s *Source) fetch(ctx context.Context, asks []calendar.Ask, boxes []string) ([]calendar.Result, error) {
	q := query{as: s.c.AskAs, boxes: boxes, from: asks[0].From.UTC().Truncate(time.Minute), until: asks[0].Until.UTC().Truncate(time.Minute)}
	resp, err := s.call(ctx, q.envelope())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		s.refused.Store(0)
	}
	body := calendar.Limit(resp.Body, s.c.Bytes)
	if resp.StatusCode != http.StatusOK {
		return nil, s.failure(resp, body, len(asks))
	}
	answer, err := parse(body)
	if err != nil {
		return nil, &calendar.Failure{
			Err:   fmt.Errorf("read the answer of Exchange: %w", err),
			Fewer: len(asks) > 1, Own: len(asks) == 1 && errors.Is(err, calendar.ErrTooBig),
		}
	}
	if answer.Fault != nil {
		return nil, answer.Fault.failure(resp.StatusCode, len(asks))
	}
	if n := len(answer.Responses); n != len(asks) {
		return nil, &calendar.Failure{Err: fmt.Errorf("asked Exchange for %d mailboxes and got %d", len(asks), n), Fewer: len(asks) > 1}
	}
	results := make([]calendar.Result, len(asks))
	for i := range asks { // the order is that of the request
		results[i] = answer.Responses[i].result(q.from, q.until)
	}
	return results, nil
}

// Directories lock an account after some wrong passwords within some minutes.
const (
	firstRefusal = 2 * time.Minute
	maxRefusal   = 30 * time.Minute
)

// failure is what an answer that is no success means.
func (s *Source) failure(resp *http.Response, body io.Reader, n int) error {
	f := &calendar.Failure{Err: fmt.Errorf("the Exchange server says %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)), After: calendar.RetryAfter(resp.Header.Get("Retry-After"))}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		f.Err = fmt.Errorf("the Exchange server refuses the sign-in; it offers %s", schemes(resp.Header))
		if s.c.Tokens == nil {
			f.After = min(maxRefusal, firstRefusal<<min(s.refused.Add(1)-1, 5))
		}
	case http.StatusInternalServerError:
		if answer, err := parse(body); err == nil && answer.Fault != nil {
			return answer.Fault.failure(resp.StatusCode, n)
		}
	case http.StatusRequestEntityTooLarge, http.StatusGatewayTimeout:
		f.Fewer = true
	}
	return f
}

// schemes are the ways to sign in that a server offers.
func schemes(h http.Header) string {
	var names []string
	for _, value := range h.Values("WWW-Authenticate") {
		name, _, _ := strings.Cut(value, " ")
		names = append(names, calendar.Brief(name, 20))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names[:min(len(names), 5)], ", ")
}

// call sends an envelope, over one of the connections there are.
func (s *Source) call(ctx context.Context, envelope string) (*http.Response, error) {
	if s.c.Tokens != nil || s.c.Basic {
		return s.send(ctx, s.shared, envelope)
	}
	var l *line
	select {
	case l = <-s.lines:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	resp, err := s.send(ctx, l, envelope)
	if err != nil {
		s.lines <- l
		return nil, err
	}
	resp.Body = &leased{ReadCloser: resp.Body, give: func() { s.lines <- l }}
	return resp, nil
}

// leased gives a line back when the body of its answer is closed.
type leased struct {
	io.ReadCloser
	give func()
}

func (l *leased) Close() error {
	err := l.ReadCloser.Close()
	if l.give != nil {
		l.give()
		l.give = nil
	}
	return err
}

// send sends an envelope, signed in by whichever way.
func (s *Source) send(ctx context.Context, l *line, envelope string) (*http.Response, error) {
	if s.c.Tokens == nil && !s.c.Basic {
		resp, err := s.byNTLM(ctx, l, envelope)
		l.signed = err == nil && resp.StatusCode != http.StatusUnauthorized
		return resp, err
	}
	for again := false; ; again = true {
		r, err := s.request(ctx, l, envelope)
		if err != nil {
			return nil, err
		}
		var token string
		if s.c.Tokens != nil {
			if token, err = s.c.Tokens.Token(ctx); err != nil {
				return nil, err
			}
			r.Header.Set("Authorization", "Bearer "+token)
		} else {
			password, err := s.password()
			if err != nil {
				return nil, err
			}
			r.SetBasicAuth(s.c.Username, password)
		}
		resp, err := l.http.Do(r)
		if err != nil {
			return nil, fmt.Errorf("ask Exchange: %w", err)
		}
		if resp.StatusCode != http.StatusUnauthorized || token == "" || again {
			return resp, nil
		}
		drain(resp)
		s.c.Tokens.Refused(token)
	}
}

func (s *Source) request(ctx context.Context, l *line, envelope string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, strings.NewReader(envelope))
	if err != nil {
		return nil, errors.New("ask Exchange: the address cannot be used")
	}
	r.Header.Set("Content-Type", "text/xml; charset=utf-8")
	r.Header.Set("Accept", "text/xml")
	r.Header.Set("User-Agent", "deskline")
	r.Header[calendar.Replayable] = nil
	for name, value := range l.header {
		r.Header.Set(name, value)
	}
	return r, nil
}
