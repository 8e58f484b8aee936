package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar/graph"
	"github.com/deskline/deskline/presence/lines"
	"github.com/deskline/deskline/xmpp/jid"
)

// composing are the parts that compose presence of what telephones and calendars say.
type composing struct {
	lineMap *presence.LineMap
	lines   *lines.Service
	teams   *presence.Teams
	share   *evidenceShare // nil on a node that shares no Redis

	phones    *telephones
	calendars *pollers
	notices   *graph.Hub // told of changes in calendars
	secret    []byte     // by which it knows them
	switches  *switches
}

// buildPresence makes what knows whose lines are, and the source over HTTP.
func (n *node) buildPresence() error {
	fixed, err := n.cfg.AllLines()
	if err != nil {
		return err
	}
	c := &n.composing
	c.lineMap = presence.NewLineMap(n.cfg.Domains[0])
	c.lineMap.SetFixed(fixed)
	rules, err := n.cfg.Presence.Rules()
	if err != nil {
		return err
	}
	c.lineMap.SetNumbers(rules)
	n.people.sinks = append(n.people.sinks, func(source string) people.Sink { return c.lineMap.Sink(source) },
		func(source string) people.Sink { return c.teams.Sink(source) })
	c.lines = lines.New(lines.Config{
		Map: c.lineMap, Observe: n.presence.Observe, Ready: n.tellsOthers, MaxLines: n.cfg.Presence.HTTP.MaxLines, Settings: lineSettings(n.cfg), Log: n.log,
		// The edge is made later, and before anybody asks.
		AllowOrigin: func(r *http.Request) (string, bool) { return n.edge.AllowOrigin(r) },
		Peer:        func(r *http.Request) (netip.AddrPort, bool) { return n.edge.Peer(r) },
	})
	c.lineMap.OnChange(c.lines.Remap)
	c.switches = newSwitches(n)
	wanted, err := c.switches.prepare(n.cfg)
	if err != nil {
		return err
	}
	c.switches.set(wanted)
	c.lineMap.OnChange(c.switches.refresh)
	c.phones = newTelephones(n) // opened with the other ports
	c.lineMap.OnChange(c.phones.refresh)
	n.buildNotices()
	c.calendars = newPollers(n)
	asked, err := c.calendars.prepare(n.cfg)
	if err != nil {
		return err
	}
	c.calendars.set(asked)
	n.presence.Register(n.mux)
	return nil
}

func (n *node) startPresence(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return n.presence.Run(ctx) })
	g.Go(func() error { return n.presence.RunHistory(ctx) })
	g.Go(func() error { return n.composing.lines.Run(ctx) })
	g.Go(func() error { return n.composing.switches.run(ctx) })
	g.Go(func() error { return n.composing.notices.Run(ctx) })
	g.Go(func() error { return n.composing.calendars.run(ctx) })
	g.Go(func() error { return n.composing.phones.run(ctx) })
	if n.composing.share != nil {
		g.Go(func() error { return n.composing.share.run(ctx) })
	}
}

// presenceSettings says by what presence is composed. The configuration has been
// validated.
func presenceSettings(cfg configs.Config) presence.Settings {
	p := cfg.Presence
	texts, err := p.AllTexts()
	if err != nil {
		texts = presence.Texts(p.Language)
	}
	return presence.Settings{
		Policy: presence.Policy{
			Order: presence.Order(p.Policy), RingingIsBusy: p.RingingIsBusy, PhoneOnly: p.PhoneOnly == "show", IdleAfter: p.IdleAfter,
			PhoneShow: p.Shows.Phone, MeetingShow: p.Shows.Meeting, OutShow: p.Shows.OutOfOffice,
		},
		Texts: texts, Gather: p.Gather,
	}
}

func lineSettings(cfg configs.Config) lines.Settings {
	return lines.Settings{Token: cfg.Presence.HTTP.Token.Reveal(), TTL: cfg.Presence.HTTP.TTL}
}

// setPresence puts live keys in force.
func (n *node) setPresence(cfg configs.Config, fixed map[string][]jid.JID) {
	if rules, err := cfg.Presence.Rules(); err == nil { // it has been validated
		n.composing.lineMap.SetNumbers(rules)
	}
	n.presence.SetSettings(presenceSettings(cfg))
	n.presence.SetHistory(cfg.Presence.History)
	n.composing.lines.SetSettings(lineSettings(cfg))
	n.composing.lineMap.SetFixed(fixed)
	n.composing.teams.SetRules(oversights(cfg))
}

// oversights of a configuration that has been validated.
func oversights(cfg configs.Config) []presence.Oversight {
	all, err := cfg.Presence.Oversights()
	if err != nil {
		return nil
	}
	return all
}

// handlePresence lets administrators see what is known of a user:
// GET /presence?user=alice@example.com, or of all of a group: GET /presence?group=Agents
func (n *node) handlePresence() {
	n.handleChoices()
	n.handleHistory()
	n.admin.Handle("GET /presence", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if group := r.URL.Query().Get("group"); group != "" {
			n.answerTeam(w, r, group)
			return
		}
		user, err := jid.Parse(r.URL.Query().Get("user"))
		if err != nil || user.Local() == "" || !n.router.Local(user) {
			http.Error(w, "user=alice@example.com is missing, or of no domain here", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		report, err := n.presence.Report(ctx, user.Bare())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(report) // the client may be gone
	}))
}

// answerTeam tells what is known of all of a group.
func (n *node) answerTeam(w http.ResponseWriter, r *http.Request, group string) {
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	all := []presence.Report{}
	for _, user := range n.composing.teams.All(group) {
		report, err := n.presence.Report(ctx, user)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		all = append(all, report)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all) // the client may be gone
}
