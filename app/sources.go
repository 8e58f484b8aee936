package app

import (
	"context"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/sip"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// How a source that ended is begun again.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// buildSources makes what asks for calendars. Telephones are opened with the ports.
func (n *node) buildSources() error {
	n.buildNotices()
	all, err := calendars(n.cfg, n.composing.notices, n.signedIn, n.mailOf, n.log)
	if err != nil {
		return err
	}
	n.composing.calendars = all
	return nil
}

// listenSIP opens the ports for telephones, if there are any.
func (n *node) listenSIP(ctx context.Context) error {
	phones, err := n.openSIP(ctx)
	if err != nil || phones == nil {
		return err
	}
	n.composing.phones.Store(phones)
	n.composing.lineMap.OnChange(func() { n.composing.phones.Load().Refresh() })
	return nil
}

func (n *node) openSIP(ctx context.Context) (*sip.Source, error) {
	return openTelephones(ctx, n.options.Config.SIP, n.certs, n.composing.lineMap, n.owns, n.log)
}

// phonesListen tells where telephones are listened to.
func (n *node) phonesListen() {
	phones := n.composing.phones.Load()
	if phones == nil {
		return
	}
	udp, tcp, secure := phones.Addrs()
	for _, l := range []struct {
		name string
		addr net.Addr
	}{{"sip-udp", udp}, {"sip-tcp", tcp}, {"sip-tls", secure}} {
		if l.addr != nil {
			n.log.Info("listening", "name", l.name, "addr", l.addr.String())
		}
	}
}

// owns reports whether it is this node of the living ones that does what one of them
// has to do, such as asking a server.
func (n *node) owns(what string) bool {
	return n.composing.share == nil || n.composing.share.prefers(what, nil)
}

func (n *node) startSources(ctx context.Context, g *errgroup.Group) {
	if n.composing.phones.Load() != nil {
		g.Go(func() error {
			n.runSource(ctx, "sip", func(ctx context.Context) (presence.Source, error) {
				phones, err := n.openSIP(ctx)
				if err == nil {
					n.composing.phones.Store(phones)
				}
				return phones, err
			}, n.composing.phones.Load())
			return nil
		})
	}
	g.Go(func() error { return n.composing.notices.Run(ctx) })
	for _, c := range n.composing.calendars {
		g.Go(func() error {
			n.runSource(ctx, c.Name, func(context.Context) (presence.Source, error) { return c, nil }, c)
			return nil
		})
	}
}

// runSource takes what a source says until ctx ends. One that fails is opened again:
// what it said counts until it expires, and clients are served all the same.
func (n *node) runSource(ctx context.Context, name string, open func(context.Context) (presence.Source, error), source presence.Source) {
	wait := firstRetry
	for {
		began := time.Now()
		var err error
		if source == nil {
			source, err = open(ctx)
		}
		if err == nil {
			err = n.presence.RunSource(ctx, source)
		}
		if ctx.Err() != nil {
			return
		}
		source = nil
		if time.Since(began) > lastRetry {
			wait = firstRetry
		}
		n.log.ErrorContext(ctx, "a source of presence ended, it is begun again", "source", name, "after", wait, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRetry)
	}
}

// lookUpAll bounds the time to find out who is on other nodes as well.
const lookUpAll = 5 * time.Second

// signedIn lists whose calendars this node asks for: those who have a session here.
// Of several nodes that have one of the same user, one does. Users who sign out are no
// more asked for; what is known of them counts until it expires, for they may be back.
func (n *node) signedIn() []jid.JID {
	ctx, cancel := context.WithTimeout(context.Background(), lookUpAll)
	defer cancel()
	seen := map[jid.JID]bool{}
	var users []jid.JID
	for _, s := range n.router.Table().All() {
		user := s.JID().Bare()
		if seen[user] {
			continue
		}
		seen[user] = true
		if n.composing.share == nil || n.composing.share.attends(ctx, user) {
			users = append(users, user)
		}
	}
	return users
}

// attends reports whether this node is the one that is to look after a user who has a
// session here.
func (s *evidenceShare) attends(ctx context.Context, user jid.JID) bool {
	list, err := s.n.router.Registry().Lookup(ctx, user)
	if err != nil {
		return true // rather two than none
	}
	view := s.n.members.View()
	there := map[router.NodeID]bool{view.Self: true}
	for i := range list {
		there[list[i].Node] = true
	}
	return len(there) == 1 || s.prefers(user.String(), there)
}

// sourceMetrics tell operators how the sources are.
func (n *node) sourceMetrics() []admin.Labelled {
	calendars := func(name, help string, labels []string, read func(emit func(float64, ...string), source string, s calendar.Stats)) admin.Labelled {
		return admin.Labelled{Name: name, Help: help, Labels: labels, Read: func(emit func(float64, ...string)) {
			for _, c := range n.composing.calendars {
				read(emit, c.Name, c.Stats())
			}
		}}
	}
	return append(n.noticeMetrics(), []admin.Labelled{
		{
			Name: "deskline_presence_changes_total", Help: "Changes of composed presence that contacts were told of, by what decided: choice, resource, or a source.",
			Labels: []string{"source"}, Rises: true, Read: func(emit func(float64, ...string)) {
				for source, count := range n.presence.Stats().Changes {
					emit(float64(count), source)
				}
			},
		},
		{Name: "deskline_sip_lines", Help: "Telephone lines of which something is known over SIP.", Read: n.onPhones(func(s sip.Status) float64 { return float64(s.Lines) })},
		{Name: "deskline_sip_publications", Help: "Publications of lines in force.", Read: n.onPhones(func(s sip.Status) float64 { return float64(s.Publications) })},
		{Name: "deskline_sip_subscriptions", Help: "Subscriptions to lines in force, of this node.", Read: n.onPhones(func(s sip.Status) float64 { return float64(s.Subscriptions) })},
		{Name: "deskline_sip_away", Help: "1 for each SIP server that does not answer.", Labels: []string{"server"}, Read: func(emit func(float64, ...string)) {
			if phones := n.composing.phones.Load(); phones != nil {
				for server := range phones.Status().Away {
					emit(1, server)
				}
			}
		}},
		n.onLists("deskline_sip_list_members", "Members of each list subscribed to over SIP.", func(s sip.ListStatus) (float64, bool) { return float64(s.Members), true }),
		n.onLists("deskline_sip_list_trouble", "1 for each list of which the SIP server tells nothing.", func(s sip.ListStatus) (float64, bool) { return 1, s.Trouble != "" }),
		calendars("deskline_calendars", "Users whose calendars are asked for.", []string{"source"}, func(emit func(float64, ...string), source string, s calendar.Stats) {
			emit(float64(s.Users), source)
		}),
		calendars("deskline_calendar_away", "1 while the server of calendars does not answer.", []string{"source"}, func(emit func(float64, ...string), source string, s calendar.Stats) {
			away := 0.0
			if s.Down {
				away = 1
			}
			emit(away, source)
		}),
		rising(calendars("deskline_calendar_answers_total", "Answers to questions for calendars since the start: full, same (nothing has changed), failed.", []string{"source", "result"},
			func(emit func(float64, ...string), source string, s calendar.Stats) {
				emit(float64(s.Fetched), source, "full")
				emit(float64(s.Same), source, "same")
				emit(float64(s.Failed), source, "failed")
			})),
	}...)
}

func rising(l admin.Labelled) admin.Labelled {
	l.Rises = true
	return l
}

func (n *node) onLists(name, help string, read func(sip.ListStatus) (value float64, ok bool)) admin.Labelled {
	return admin.Labelled{Name: name, Help: help, Labels: []string{"list"}, Read: func(emit func(float64, ...string)) {
		phones := n.composing.phones.Load()
		if phones == nil {
			return
		}
		for list, status := range phones.Status().Lists {
			if v, ok := read(status); ok {
				emit(v, list)
			}
		}
	}}
}

func (n *node) onPhones(read func(sip.Status) float64) func(emit func(float64, ...string)) {
	return func(emit func(float64, ...string)) {
		if phones := n.composing.phones.Load(); phones != nil {
			emit(read(phones.Status()))
		}
	}
}
