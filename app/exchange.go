package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/entra"
	"github.com/deskline/deskline/presence/calendar/ews"
	"github.com/deskline/deskline/presence/calendar/graph"
	"github.com/deskline/deskline/xmpp/jid"
)

// newExchange makes a source of calendars in mailboxes. A nil hub has it hear of no
// changes from Microsoft 365.
func newExchange(c configs.Calendar, hub *graph.Hub, users func() []jid.JID, mail func(jid.JID) string, log *slog.Logger) (*calendar.Poller, error) {
	mailbox := mailboxes(c.Mailbox, mail)
	if strings.Contains(c.Mailbox, "{mail}") {
		users = having(users, mailbox)
	}
	p := calendar.Config{
		Name: c.Name, Users: only(c.Users, users), Refresh: c.Refresh, Window: c.Window, Keep: c.Keep, Timeout: c.Timeout, AtOnce: c.AtOnce, Stay: true, Log: log,
	}
	var tokens *entra.Tokens
	if c.OAuth() {
		var err error
		tokens, err = entra.New(entra.Config{
			URL: c.Tokens(), ClientID: c.ClientID, Scope: c.Scope(), SecretFile: c.SecretFile, CertFile: c.CertFile, KeyFile: c.KeyFile, CAFile: c.CAFile, Plain: c.Plain,
		})
		if err != nil {
			return nil, err
		}
	}
	if c.Kind == "graph" {
		s, err := graph.New(graph.Config{
			URL: c.Address(), Plain: c.Plain, CAFile: c.CAFile, Tokens: tokens, Mailbox: mailbox, AskAs: c.AskAs, AtOnce: c.AtOnce, Bytes: int64(c.Size),
		})
		if err != nil {
			return nil, err
		}
		p.FetchAll, p.Batch = s.FetchAll, s.Batch()
		if c.Watch && hub != nil {
			p.Watch = s.Watch(graph.WatchConfig{Name: c.Name, Hub: hub, NotifyURL: c.NotifyURL, Log: log})
		}
		return calendar.New(p), nil
	}
	e := ews.Config{
		URL: c.Address(), Plain: c.Plain, CAFile: c.CAFile, Basic: c.Auth == "basic", Username: c.Username, PasswordFile: c.PasswordFile,
		Mailbox: mailbox, AskAs: c.AskAs, AtOnce: c.AtOnce, Bytes: int64(c.Size),
	}
	if tokens != nil {
		e.Tokens = tokens
	}
	s, err := ews.New(e)
	if err != nil {
		return nil, err
	}
	p.FetchAll, p.Batch = s.FetchAll, ews.Mailboxes
	if c.Watch {
		p.Watch = s.Watch(log)
	}
	return calendar.New(p), nil
}

// mailboxes says which mailbox is whose. mail is what the directory, or the local
// account, has as the address of somebody.
func mailboxes(pattern string, mail func(jid.JID) string) func(jid.JID) string {
	if !strings.Contains(pattern, "{mail}") {
		return func(u jid.JID) string { return calendar.Fill(pattern, u) }
	}
	return func(u jid.JID) string {
		address := mail(u)
		if address == "" {
			return ""
		}
		return strings.ReplaceAll(calendar.Fill(pattern, u), "{mail}", address)
	}
}

// having leaves those of whom an address is known at the moment: after a start the
// directory is still being read.
func having(users func() []jid.JID, mailbox func(jid.JID) string) func() []jid.JID {
	return func() []jid.JID {
		return slices.DeleteFunc(slices.Clone(users()), func(u jid.JID) bool { return mailbox(u) == "" })
	}
}

// mailOf is the first mail address that is known of somebody.
func (n *node) mailOf(user jid.JID) string {
	if p, ok := n.people.index.Person(user); ok && len(p.Mail) > 0 {
		return strings.Clone(p.Mail[0])
	}
	return ""
}

// checkExchange asks a server for one calendar: that of the first user who is named.
// Where nobody is, the sign-in alone can be tried, with somebody who is not there.
func checkExchange(ctx context.Context, r CheckResult, c configs.Calendar, domain string) CheckResult {
	r.Detail = c.Name + ", " + c.Address()
	p, err := newExchange(c, nil, nil, jid.JID.String, discard())
	if err != nil {
		r.Err = err
		return r
	}
	name, known := "nobody@"+domain, len(c.Users) > 0 && !strings.Contains(c.Mailbox, "{mail}")
	if known {
		name = c.Users[0]
	}
	user, err := jid.Parse(name)
	if err != nil {
		r.Err = err
		return r
	}
	now := time.Now()
	timed, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	answers, err := p.FetchAll(timed, []calendar.Ask{{User: user, From: now, Until: now.Add(c.Window)}})
	if err == nil {
		err = answers[0].Err
	}
	switch own := calendar.Own(err); {
	case own && !known:
		r.Detail += fmt.Sprintf(", answers; tried with %s, since no mailbox is known: %v", name, err)
	case own:
		r.Warning = fmt.Sprintf("the calendar of %s cannot be read: %v", user, err)
	case err != nil:
		r.Err = err
	default:
		r.Detail += fmt.Sprintf(", answered in %s", time.Since(now).Round(time.Millisecond))
	}
	return r
}
