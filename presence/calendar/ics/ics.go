// Package ics has calendars as iCalendar texts (RFC 5545), each from a file or
// a URL, as calendar programs and servers export them. It is a source for a
// calendar.Poller:
//
//	s, err := ics.New(ics.Config{ClientConfig: calendar.ClientConfig{URL: "https://cal.example.com/{user}.ics"}})
//	poller := calendar.New(calendar.Config{Fetch: s.Fetch, …})
package ics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// Config is where the calendars are.
type Config struct {
	calendar.ClientConfig        // its URL may be ""
	File                  string // with placeholders as in URL, in place of it
	Limits                calendar.Limits
	Zone                  *time.Location // of floating times; nil = what the calendar says, or UTC
}

// Source fetches calendars.
type Source struct {
	c      Config
	client *calendar.Client
}

// New makes a source; nothing is read yet.
func New(c Config) (*Source, error) {
	s := &Source{c: c}
	if c.Limits.Bytes == 0 {
		s.c.Limits.Bytes = 16 << 20
	}
	if c.File != "" {
		return s, nil
	}
	var err error
	s.client, err = calendar.NewClient(c.ClientConfig)
	return s, err
}

// Fetch is for calendar.Config.
func (s *Source) Fetch(ctx context.Context, ask calendar.Ask) (calendar.Answer, error) {
	if s.c.File != "" {
		return s.file(ask)
	}
	header := map[string]string{"Accept": "text/calendar"}
	if etag, modified, ok := strings.Cut(ask.Tag, "\n"); ok {
		if etag != "" {
			header["If-None-Match"] = etag
		}
		if modified != "" {
			header["If-Modified-Since"] = modified
		}
	}
	resp, err := s.client.Do(ctx, ask.User, http.MethodGet, header, "", s.c.Limits.Bytes)
	if err != nil {
		return calendar.Answer{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		if ask.Tag == "" {
			return calendar.Answer{}, &calendar.Failure{Err: errors.New("the server says that nothing has changed, but was not asked"), Own: true}
		}
		return calendar.Answer{Same: true}, nil
	}
	tag := resp.Header.Get("ETag") + "\n" + resp.Header.Get("Last-Modified")
	if tag == "\n" {
		tag = ""
	}
	return s.read(resp.Body, tag, ask)
}

// file reads one that a user's name cannot lead elsewhere than its pattern says.
func (s *Source) file(ask calendar.Ask) (calendar.Answer, error) {
	path, err := filePath(s.c.File, ask.User)
	if err != nil {
		return calendar.Answer{}, &calendar.Failure{Err: err, Own: true}
	}
	f, err := os.Open(path)
	if err != nil {
		return calendar.Answer{}, &calendar.Failure{Err: fmt.Errorf("open a calendar: %w", err), Own: true}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return calendar.Answer{}, &calendar.Failure{Err: errors.New("the calendar is no file"), Own: true}
	}
	tag := fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size())
	if tag == ask.Tag {
		return calendar.Answer{Same: true}, nil
	}
	return s.read(f, tag, ask)
}

func filePath(pattern string, user jid.JID) (string, error) {
	for _, part := range []string{user.Local(), user.Domain()} {
		if part == "." || part == ".." || strings.ContainsAny(part, "/\\\x00") {
			return "", errors.New("the user's name cannot be part of a file's")
		}
	}
	return strings.NewReplacer("{user}", user.Local(), "{domain}", user.Domain(), "{jid}", user.Bare().String()).Replace(pattern), nil
}

func (s *Source) read(r io.Reader, tag string, ask calendar.Ask) (calendar.Answer, error) {
	cal, err := calendar.Parse(r, s.c.Limits)
	if err != nil {
		// A text that cannot be read is no reason to leave the others of a server alone.
		return calendar.Answer{}, &calendar.Failure{Err: fmt.Errorf("read a calendar: %w", err), Own: true}
	}
	periods, cut := cal.Periods(ask.From, ask.Until, calendar.Options{Zone: s.c.Zone, Self: calendar.Addresses(ask.User.Bare().String())})
	return calendar.Answer{Tag: tag, Periods: periods, Cut: cut, Flaws: cal.Flaws()}, nil
}
