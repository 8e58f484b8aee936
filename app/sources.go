package app

import (
	"context"
	"net"
	"time"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/configs"
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

// listenSIP opens the ports for telephones, if there are any.
func (n *node) listenSIP(ctx context.Context) error {
	phones, err := n.composing.phones.prepare(ctx, n.cfg)
	if err != nil {
		return err
	}
	phones.commit()
	return nil
}

// prepareSources reads what tells of presence, and opens ports that are new. Nothing changes
// before commit, after which abort does nothing.
func (n *node) prepareSources(ctx context.Context, cfg configs.Config) (rewiring, error) {
	c := &n.composing
	switches, err := c.switches.prepare(cfg)
	if err != nil {
		return rewiring{}, err
	}
	calendars, err := c.calendars.prepare(cfg)
	if err != nil {
		return rewiring{}, err
	}
	phones, err := c.phones.prepare(ctx, cfg) // the last, since its ports are open then
	if err != nil {
		return rewiring{}, err
	}
	taken := false
	commit := func() {
		taken = true
		c.switches.set(switches)
		c.calendars.set(calendars)
		before := wiringOf(c.phones.now())
		phones.commit()
		tellPhones(ctx, n.log, before, wiringOf(c.phones.now()))
	}
	return rewiring{commit, func() {
		if !taken {
			phones.abort()
		}
	}}, nil
}

// phonesListen tells where telephones are listened to.
func (n *node) phonesListen() {
	phones := n.composing.phones.now()
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
			for _, c := range n.composing.calendars.list() {
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
			if phones := n.composing.phones.now(); phones != nil {
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
		phones := n.composing.phones.now()
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
		if phones := n.composing.phones.now(); phones != nil {
			emit(read(phones.Status()))
		}
	}
}
