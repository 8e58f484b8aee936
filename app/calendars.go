package app

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/caldav"
	"github.com/deskline/deskline/presence/calendar/graph"
	"github.com/deskline/deskline/presence/calendar/ics"
	"github.com/deskline/deskline/xmpp/jid"
)

// calendars makes the sources of presence.calendars. users are whose calendars
// this node has to know at the moment, mail is the address of somebody, as far as known.
// Of changes hub is told.
func calendars(cfg configs.Config, hub *graph.Hub, users func() []jid.JID, mail func(jid.JID) string, log *slog.Logger) ([]*calendar.Poller, error) {
	var all []*calendar.Poller
	for at, c := range cfg.Presence.Calendars {
		source, err := newCalendar(c, hub, users, mail, log)
		if err != nil {
			return nil, fmt.Errorf("presence.calendars[%d]: %w", at, err)
		}
		all = append(all, source)
	}
	return all, nil
}

func newCalendar(c configs.Calendar, hub *graph.Hub, users func() []jid.JID, mail func(jid.JID) string, log *slog.Logger) (*calendar.Poller, error) {
	if c.Exchange() {
		return newExchange(c, hub, users, mail, log)
	}
	client, err := calendarClient(c)
	if err != nil {
		return nil, err
	}
	var zone *time.Location
	if c.Zone != "" {
		if zone, err = time.LoadLocation(c.Zone); err != nil {
			return nil, fmt.Errorf("zone: %w", err)
		}
	}
	p := calendar.Config{
		Name: c.Name, Users: only(c.Users, users), Refresh: c.Refresh, Window: c.Window, Keep: c.Keep, Timeout: c.Timeout, AtOnce: c.AtOnce, Stay: true, Log: log,
	}
	limits := calendar.Limits{Bytes: int64(c.Size)}
	if c.Kind == "ics" {
		s, err := ics.New(ics.Config{ClientConfig: client, File: c.File, Limits: limits, Zone: zone})
		if err != nil {
			return nil, err
		}
		p.Fetch = s.Fetch
		return calendar.New(p), nil
	}
	s, err := caldav.New(caldav.Config{ClientConfig: client, Limits: limits, Zone: zone, Query: strings.TrimPrefix(c.Query, "auto")})
	if err != nil {
		return nil, err
	}
	p.Fetch = s.Fetch
	return calendar.New(p), nil
}

// calendarClient says how a server of calendars is asked.
func calendarClient(c configs.Calendar) (calendar.ClientConfig, error) {
	client := calendar.ClientConfig{
		URL: c.URL, Plain: c.Plain, CAFile: c.CAFile, Username: c.Username, Logins: c.LoginsFile, AtOnce: c.AtOnce,
	}
	if c.PasswordFile != "" {
		text, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return client, fmt.Errorf("password_file: %w", err)
		}
		client.Password = strings.TrimRight(string(text), "\r\n")
	}
	return client, nil
}

// only leaves those of a list, if it names any.
func only(list []string, users func() []jid.JID) func() []jid.JID {
	if len(list) == 0 {
		return users
	}
	named := among(list)
	return func() []jid.JID {
		return slices.DeleteFunc(slices.Clone(users()), func(u jid.JID) bool { return !named(u) })
	}
}

// among reports who is in a list.
func among(list []string) func(jid.JID) bool {
	named := make(map[string]bool, len(list))
	for _, one := range list {
		if j, err := jid.Parse(one); err == nil {
			named[j.String()] = true
		}
	}
	return func(u jid.JID) bool { return named[u.Bare().String()] }
}
