package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/bench/peer"
	"github.com/deskline/deskline/bench/site"
	"github.com/deskline/deskline/bench/wire"
)

const resource = "desk"

// session is one sign-in of a person.
type session struct {
	*site.Client
	over    chan struct{} // closed when it has ended by itself
	answers chan string   // ids of results
}

// live has a person sign in, choose, say things and leave, until all end.
func (a *actor) live(ctx context.Context) {
	for ctx.Err() == nil {
		s := a.signIn(ctx)
		if s == nil {
			continue
		}
		a.behave(ctx, s)
		a.signOut(ctx, s)
		for away := time.Now().Add(time.Duration(1+a.random.IntN(5)) * time.Second); ctx.Err() == nil && time.Now().Before(away) && !a.quiet.Load(); site.Pause(ctx, step) {
			if a.chance(8 * time.Second) {
				a.choose(ctx, nil)
			}
		}
	}
}

// leaveTime is how long a client tries to say goodbye.
const leaveTime = 20 * time.Second

// calendarTime is until a node has looked at the calendar of somebody who came.
const calendarTime = 4 * time.Second

func (a *actor) signIn(ctx context.Context) *session {
	s := &session{over: make(chan struct{}), answers: make(chan string, 16)}
	s.Client = site.NewClient(site.ClientConfig{
		User: userOf(a.i), Resource: resource, Doors: a.site.Doors(a.i), Take: func(el wire.Element) { a.take(s, el) },
		End: func(why string) {
			if ctx.Err() == nil {
				a.book.lost(a.i, why)
			}
			close(s.over)
		},
	})
	a.arrive(a.site.Nodes[a.i%len(a.site.Nodes)].Name)
	if err := s.Open(ctx, "<presence xmlns='jabber:client'/>"); err != nil {
		a.book.leave(a.i)
		a.book.note(a.i, "%v", err)
		site.Pause(ctx, 500*time.Millisecond)
		return nil
	}
	a.arrived()
	a.there.Add(1)
	return s
}

// arrive says that the person is coming with an active client.
func (a *actor) arrive(where string) {
	a.book.spoke(a.i)
	a.book.come(a.i)
	a.book.begin(a.i, online, 1, coming, where)
	a.book.begin(a.i, client, says, speaking, where)
	if hasCalendar(a.i) {
		a.book.unsure(a.i, slot, 1<<slotFree|1<<slotBusy|1<<slotOut, time.Now().Add(calendarTime))
	}
}

func (a *actor) arrived() {
	a.book.spoke(a.i)
	a.book.accept(a.i, online, 1)
	a.book.accept(a.i, client, says)
	a.book.here(a.i)
	if hasCalendar(a.i) {
		a.book.unsure(a.i, slot, 0, time.Now().Add(calendarTime))
	}
}

func (a *actor) depart(where string) {
	a.book.spoke(a.i)
	a.book.leave(a.i)
	a.book.begin(a.i, online, 0, leaving, where)
}

func (a *actor) signOut(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	a.depart("its node")
	s.Close(ctx)
	select {
	case <-s.over: // it may be there until the server finds out
	default:
		a.book.accept(a.i, online, 0)
	}
	a.book.spoke(a.i)
}

// behave is what a person does while signed in.
func (a *actor) behave(ctx context.Context, s *session) {
	for ; ctx.Err() == nil; site.Pause(ctx, step) {
		select {
		case <-s.over:
			return
		default:
		}
		if a.chance(2 * time.Second) {
			s.Home()
		}
		switch {
		case a.quiet.Load():
		case a.flicker.Load() && comesAndGoes(a.i) && !a.cfg.Stay:
			if a.chance(300*time.Millisecond) && a.blink(ctx, s) != nil {
				return
			}
		case !a.cfg.Stay && a.chance(4*a.pace()):
			return
		case a.chance(a.pace()):
			a.choose(ctx, s)
		case a.chance(a.pace()):
			a.say(ctx, s)
		}
	}
}

// blink leaves and comes again within the session.
func (a *actor) blink(ctx context.Context, s *session) error {
	a.depart("its node")
	if err := s.Send(ctx, "<presence xmlns='jabber:client' type='unavailable'/>"); err != nil {
		return err
	}
	a.book.accept(a.i, online, 0)
	site.Pause(ctx, time.Duration(a.random.IntN(int(3*step))))
	a.arrive("its node")
	if err := s.Send(ctx, "<presence xmlns='jabber:client'/>"); err != nil {
		return err
	}
	a.arrived()
	return nil
}

// say sends presence of the client's own.
func (a *actor) say(ctx context.Context, s *session) {
	value := uint8(a.random.IntN(int(quietXA) + 1)) //nolint:gosec // few
	if a.random.IntN(2) == 0 {
		value = says
	}
	show := [...]string{says: "", saysAway: "away", saysXA: "xa", saysDND: "dnd", quietAway: "away", quietXA: "xa"}[value]
	what := "<presence xmlns='jabber:client'>"
	if show != "" {
		what += "<show>" + show + "</show>"
	}
	if value >= quietAway {
		what += "<idle xmlns='urn:xmpp:idle:1' since='2026-01-01T00:00:00Z'/>"
	}
	a.book.spoke(a.i)
	a.book.begin(a.i, client, value, speaking, "its node")
	if s.Send(ctx, what+"</presence>") == nil {
		a.book.spoke(a.i)
		a.book.accept(a.i, client, value)
	}
}

// choose makes a choice: by the client, or by an administrator.
func (a *actor) choose(ctx context.Context, s *session) {
	value := uint8(a.random.IntN(int(choseOffline) + 1)) //nolint:gosec // few
	if a.random.IntN(2) == 0 {
		value = chose
	}
	state := [...]string{chose: "automatic", choseDND: "dnd", choseBusy: "busy", choseAway: "away", choseXA: "extended-away", choseOffline: "unavailable"}[value]
	until := time.Time{}
	var then []planned
	if value != chose && a.random.IntN(3) == 0 {
		until = time.Now().Add(time.Duration(2+a.random.IntN(5)) * time.Second).UTC().Truncate(time.Second)
		then = []planned{{fact: choice, cause: choiceOver, at: until}, {at: until.Add(100 * time.Millisecond)}}
	}
	if s != nil && a.random.IntN(2) == 0 {
		a.chooseByClient(ctx, s, state, value, until, then)
		return
	}
	order := map[string]string{"state": state, "by": "the administrator"}
	if !until.IsZero() {
		order["until"] = until.Format(time.RFC3339)
	}
	text, _ := json.Marshal(order) //nolint:errchkjson // texts
	for ; ctx.Err() == nil; site.Pause(ctx, 2*step) {
		name, addr := a.at(site.AdminPort)
		a.book.begin(a.i, choice, value, choosing, name+" by an administrator")
		err := a.ask(ctx, http.MethodPut, "http://"+addr+"/presence/choice?user="+userOf(a.i)+"@"+peer.Domain, bytes.NewReader(text))
		switch {
		case err == nil:
			a.book.accept(a.i, choice, value, then...)
			return
		case strings.Contains(err.Error(), "400 "): // until is past
			then, value = nil, chose
			text = []byte(`{"state":"automatic","by":"the administrator"}`)
		}
		a.book.note(a.i, "%s: %v", name, err)
		a.node++
	}
}

func (a *actor) chooseByClient(ctx context.Context, s *session, state string, value uint8, until time.Time, then []planned) {
	id := "c" + strconv.FormatInt(time.Now().UnixNano(), 36)
	what := "<iq xmlns='jabber:client' type='set' id='" + id + "'><choice xmlns='urn:deskline:presence:1' state='" + state + "'"
	if !until.IsZero() {
		what += " until='" + until.Format(time.RFC3339) + "'"
	}
	a.book.begin(a.i, choice, value, choosing, "its node")
	if s.Send(ctx, what+"/></iq>") != nil {
		a.choose(ctx, nil)
		return
	}
	for limit := time.After(20 * time.Second); ; {
		select {
		case got := <-s.answers:
			switch got {
			case id:
				a.book.accept(a.i, choice, value, then...)
				return
			case "error " + id:
				a.choose(ctx, nil)
				return
			}
		case <-s.over:
			a.choose(ctx, nil)
			return
		case <-limit:
			a.book.note(a.i, "no answer to a choice")
			a.choose(ctx, nil)
			return
		case <-ctx.Done():
			return
		}
	}
}

// take reads a stanza. It is called with the client's lock held.
func (a *actor) take(s *session, el wire.Element) {
	switch string(el.Name) {
	case "iq":
		id := string(el.Attr("id"))
		if string(el.Attr("type")) == "error" {
			id = "error " + id
		}
		select {
		case s.answers <- id:
		default:
		}
	case "presence":
		from := string(el.Attr("from"))
		name, _, _ := strings.Cut(from, "@")
		j, err := strconv.Atoi(strings.TrimPrefix(name, peer.Prefix))
		if what, ok := read(el); ok && err == nil && j != a.i {
			if !strings.HasSuffix(from, "/"+resource) {
				what.key += " from " + from
			}
			a.book.hear(a.i, j, what)
		}
	}
}

// read is what a presence shows.
func read(el wire.Element) (s shown, ok bool) {
	switch string(el.Attr("type")) {
	case "unavailable":
		return shown{unavailable, "", "unavailable"}, true
	case "":
	default:
		return s, false
	}
	composed, status := "", ""
	for rest := wire.Inner(el.Raw); len(rest) > 0; {
		child, next, more := wire.Next(rest)
		if !more {
			break
		}
		rest = next
		switch string(child.Name) {
		case "show":
			s.show = string(child.Text())
		case "status":
			status = string(child.Text())
		case "composed":
			composed = string(child.Attr("state"))
		}
	}
	if composed == "" { // nothing but what the client says is known
		composed = map[string]string{"": "available", "chat": "available", "away": "away", "xa": "extended-away", "dnd": "dnd"}[s.show]
	}
	for one, n := range names {
		if n.name == composed {
			s.state, s.key = state(one), fmt.Sprintf("%s (%s, %q)", composed, s.show, status) //nolint:gosec // few
			return s, true
		}
	}
	return s, false
}
