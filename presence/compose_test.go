package presence_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// The state matrix: each way each input can be.
var (
	choices = map[string]presence.Choice{
		"nothing":        {},
		"dnd":            {State: presence.DND},
		"busy":           {State: presence.Busy},
		"away":           {State: presence.Away},
		"xa":             {State: presence.ExtendedAway},
		"offline":        {State: presence.Unavailable},
		"dnd until past": {State: presence.DND, Until: noon.Add(-time.Second)},
	}
	phones = map[string]presence.Evidence{
		"none": {}, "idle": line(presence.LineIdle), "ringing": line(presence.LineRinging),
		"held": line(presence.LineHeld), "in-call": line(presence.LineInCall), "unknown": line(presence.LineUnknown),
		"expired call": {Source: "http", Item: "1", Line: presence.LineInCall, Expires: noon},
	}
	calendars = map[string]presence.Evidence{
		"none": {}, "free": calendar(presence.SlotFree, 0), "tentative": calendar(presence.SlotTentative, 0),
		"busy": calendar(presence.SlotBusy, 0), "out": calendar(presence.SlotOutOfOffice, 0),
		"busy later": calendar(presence.SlotBusy, time.Hour), "busy before": calendar(presence.SlotBusy, -time.Hour),
	}
	clients = map[string][]presence.Resource{
		"none":              nil,
		"active":            {{Name: "a"}},
		"chatty":            {{Name: "a", Show: "chat"}},
		"idle":              {{Name: "a", Idle: noon.Add(-time.Hour)}},
		"just idle":         {{Name: "a", Idle: noon.Add(-time.Minute)}},
		"chose away":        {{Name: "a", Show: "away"}},
		"chose xa":          {{Name: "a", Show: "xa"}},
		"chose dnd":         {{Name: "a", Show: "dnd"}},
		"went away":         {{Name: "a", Show: "away", Idle: noon.Add(-time.Hour)}},
		"went xa":           {{Name: "a", Show: "xa", Idle: noon.Add(-time.Hour)}},
		"away beside":       {{Name: "a"}, {Name: "b", Show: "away", Idle: noon.Add(-time.Hour)}},
		"all gone":          {{Name: "a", Show: "xa", Idle: noon.Add(-time.Hour)}, {Name: "b", Show: "away", Idle: noon.Add(-time.Hour)}},
		"chose away first":  {{Name: "a", Show: "away", Since: noon.Add(-time.Hour)}, {Name: "b", Since: noon.Add(-time.Minute)}},
		"chose away at end": {{Name: "a", Since: noon.Add(-time.Hour)}, {Name: "b", Show: "away", Since: noon.Add(-time.Minute)}},
		"dnd beside":        {{Name: "a"}, {Name: "b", Show: "dnd"}},
	}
)

func line(l presence.Line) presence.Evidence {
	return presence.Evidence{Source: "http", Item: "1", Line: l, Since: noon.Add(-time.Minute), Expires: noon.Add(time.Hour)}
}

func calendar(s presence.Slot, after time.Duration) presence.Evidence {
	return presence.Evidence{Source: "caldav", Item: "1", Expires: noon.Add(5 * time.Hour), Periods: []presence.Period{
		{From: noon.Add(after - 30*time.Minute), Until: noon.Add(after + 30*time.Minute), Slot: s},
	}}
}

// row is one of the table in the documentation: what has to hold, what follows.
type row struct {
	number  string
	choice  []string // nil = any
	phone   []string
	meeting []string
	client  []string
	name    presence.Name
	show    string
}

var (
	none    = []string{"none"}
	inCall  = []string{"in-call", "held"}
	dnd     = []string{"chose dnd", "dnd beside"}
	offRows = []row{
		{"1", []string{"offline"}, nil, nil, nil, presence.Unavailable, ""},
		{"9", nil, nil, nil, none, presence.Unavailable, ""},
	}
	dndRows = []row{
		{"2", []string{"dnd"}, nil, nil, nil, presence.DND, "dnd"},
		{"2", []string{"nothing", "dnd until past", "busy", "away", "xa"}, nil, nil, dnd, presence.DND, "dnd"},
	}
	busyRows = []row{
		{"3", nil, inCall, nil, nil, presence.OnThePhone, "dnd"},
		{"4", nil, nil, []string{"busy"}, nil, presence.InAMeeting, "dnd"},
	}
	restRows = []row{
		{"5", []string{"busy"}, nil, nil, nil, presence.Busy, "dnd"},
		{"5", []string{"away"}, nil, nil, nil, presence.Away, "away"},
		{"5", []string{"xa"}, nil, nil, nil, presence.ExtendedAway, "xa"},
		{"5", nil, nil, nil, []string{"chose away", "chose away at end"}, presence.Away, "away"},
		{"5", nil, nil, nil, []string{"chose xa"}, presence.ExtendedAway, "xa"},
		{"6", nil, nil, []string{"out"}, nil, presence.OutOfOffice, "xa"},
		{"7", nil, nil, nil, []string{"active", "chatty", "just idle", "away beside", "chose away first"}, presence.Available, ""},
		{"8", nil, nil, nil, []string{"idle", "went away", "all gone"}, presence.Away, "away"},
		{"8", nil, nil, nil, []string{"went xa"}, presence.ExtendedAway, "xa"},
	}
	modern = slices.Concat(offRows, dndRows, busyRows, restRows)
	cisco  = slices.Concat(offRows, busyRows, dndRows, restRows)
)

func (r row) matches(choice, phone, meeting, client string) bool {
	is := func(list []string, v string) bool { return list == nil || slices.Contains(list, v) }
	return is(r.choice, choice) && is(r.phone, phone) && is(r.meeting, meeting) && is(r.client, client)
}

// TestMatrix goes through every cell of the matrix and holds it against the table.
func TestMatrix(t *testing.T) {
	cells, used := 0, map[string]int{}
	for _, policy := range []struct {
		order presence.Order
		rows  []row
	}{{presence.PolicyModern, modern}, {presence.PolicyCisco, cisco}} {
		p := presence.Policy{Order: policy.order, IdleAfter: 5 * time.Minute}
		for choice := range choices {
			for phone := range phones {
				for meeting := range calendars {
					for client := range clients {
						in := presence.Input{
							Choice: choices[choice], Resources: clients[client], Evidence: []presence.Evidence{phones[phone], calendars[meeting]},
						}
						got, _ := presence.Compose(in, p, noon)
						cell := fmt.Sprintf("%s: choice %s, phone %s, calendar %s, client %s", policy.order, choice, phone, meeting, client)
						at := slices.IndexFunc(policy.rows, func(r row) bool { return r.matches(choice, phone, meeting, client) })
						if at < 0 {
							t.Fatalf("%s: no row", cell)
						}
						want := policy.rows[at]
						if got.Name != want.name || got.Show != want.show {
							t.Errorf("%s: %s (%q), want %s (%q) by row %s", cell, got.Name, got.Show, want.name, want.show, want.number)
						}
						used[string(policy.order)+want.number]++
						cells++
					}
				}
			}
		}
	}
	if len(used) != 18 || cells != 2*7*7*7*15 {
		t.Errorf("%d cells used %d rows", cells, len(used))
	}
}

func TestPolicyKeys(t *testing.T) {
	call, ring := []presence.Evidence{line(presence.LineInCall)}, []presence.Evidence{line(presence.LineRinging)}
	for _, tt := range []struct {
		name string
		in   presence.Input
		p    presence.Policy
		want presence.Name
		show string
	}{
		{"ringing is busy", presence.Input{Resources: clients["active"], Evidence: ring}, presence.Policy{RingingIsBusy: true}, presence.OnThePhone, "dnd"},
		{"phone alone", presence.Input{Evidence: call}, presence.Policy{PhoneOnly: true}, presence.OnThePhone, "dnd"},
		{"phone alone, idle", presence.Input{Evidence: []presence.Evidence{line(presence.LineIdle)}}, presence.Policy{PhoneOnly: true}, presence.Unavailable, ""},
		{"phone alone, offline chosen", presence.Input{Choice: choices["offline"], Evidence: call}, presence.Policy{PhoneOnly: true}, presence.Unavailable, ""},
		{"phone shows away", presence.Input{Resources: clients["active"], Evidence: call}, presence.Policy{PhoneShow: "away"}, presence.OnThePhone, "away"},
		{"phone shows nothing", presence.Input{Resources: clients["active"], Evidence: call}, presence.Policy{PhoneShow: "none"}, presence.OnThePhone, ""},
		{"meeting shows xa", presence.Input{Resources: clients["active"], Evidence: []presence.Evidence{calendar(presence.SlotBusy, 0)}}, presence.Policy{MeetingShow: "xa"}, presence.InAMeeting, "xa"},
		{"out shows away", presence.Input{Resources: clients["active"], Evidence: []presence.Evidence{calendar(presence.SlotOutOfOffice, 0)}}, presence.Policy{OutShow: "away"}, presence.OutOfOffice, "away"},
		{"idle counts at once", presence.Input{Resources: clients["just idle"]}, presence.Policy{}, presence.Away, "away"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := presence.Compose(tt.in, tt.p, noon); got.Name != tt.want || got.Show != tt.show {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// random makes an input; seconds are few so that times meet.
func random(r *rand.Rand) presence.Input {
	at := func() time.Time { return noon.Add(time.Duration(r.IntN(20)-10) * time.Second) }
	var in presence.Input
	if r.IntN(3) == 0 {
		states := []presence.Name{presence.DND, presence.Busy, presence.Away, presence.ExtendedAway, presence.Unavailable}
		in.Choice = presence.Choice{State: states[r.IntN(len(states))], Since: at()}
		if r.IntN(2) == 0 {
			in.Choice.Until = at()
		}
	}
	for i := range r.IntN(4) {
		res := presence.Resource{Name: fmt.Sprint(i), Show: []string{"", "chat", "away", "xa", "dnd"}[r.IntN(5)], Since: at()}
		if r.IntN(2) == 0 {
			res.Idle = at()
		}
		in.Resources = append(in.Resources, res)
	}
	for i := range r.IntN(5) {
		e := presence.Evidence{Source: []string{"http", "sip"}[r.IntN(2)], Item: fmt.Sprint(i), Line: presence.Line(r.IntN(5)), Since: at(), Expires: at()}
		if r.IntN(2) == 0 {
			e.Line = presence.LineUnknown
			for range r.IntN(4) {
				from := at()
				e.Periods = append(e.Periods, presence.Period{From: from, Until: from.Add(time.Duration(r.IntN(9)) * time.Second), Slot: presence.Slot(r.IntN(4))})
			}
		}
		in.Evidence = append(in.Evidence, e)
	}
	return in
}

// TestProperties holds what must be so whatever is known.
func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		in := random(r)
		p := presence.Policy{RingingIsBusy: r.IntN(2) == 0, PhoneOnly: r.IntN(2) == 0, IdleAfter: time.Duration(r.IntN(5)) * time.Second}
		st, next := presence.Compose(in, p, noon)

		// Nothing is above a choice of Do Not Disturb but appearing offline.
		chosen := in.Choice.State != "" && (in.Choice.Until.IsZero() || in.Choice.Until.After(noon))
		hasDND := slices.ContainsFunc(in.Resources, func(r presence.Resource) bool { return r.Show == "dnd" })
		if (chosen && in.Choice.State == presence.DND || hasDND && (!chosen || in.Choice.State != presence.Unavailable)) && len(in.Resources) > 0 && st.Name != presence.DND {
			t.Fatalf("%s above a choice of dnd: %+v", st.Name, in)
		}
		// The order of what is known does not matter.
		mixed := in
		mixed.Evidence, mixed.Resources = slices.Clone(in.Evidence), slices.Clone(in.Resources)
		r.Shuffle(len(mixed.Evidence), func(i, j int) { mixed.Evidence[i], mixed.Evidence[j] = mixed.Evidence[j], mixed.Evidence[i] })
		r.Shuffle(len(mixed.Resources), func(i, j int) { mixed.Resources[i], mixed.Resources[j] = mixed.Resources[j], mixed.Resources[i] })
		if other, then := presence.Compose(mixed, p, noon); other != st || !then.Equal(next) {
			t.Fatalf("%+v in another order is %+v: %+v", st, other, in)
		}
		// What expires leaves what is said without it: never busy by a source.
		late := noon.Add(time.Hour)
		bare := in
		bare.Evidence = nil
		after, _ := presence.Compose(in, p, late)
		if without, _ := presence.Compose(bare, p, late); after != without {
			t.Fatalf("%+v after all has expired, %+v without: %+v", after, without, in)
		}
		// Nothing changes by itself before it is said to.
		if !next.IsZero() {
			if !next.After(noon) {
				t.Fatalf("look again in the past: %s", next)
			}
			late = next.Add(-time.Nanosecond)
		}
		if same, _ := presence.Compose(in, p, late); same != st {
			t.Fatalf("%+v becomes %+v by %s, next is %s: %+v", st, same, late, next, in)
		}
	}
}

func TestBook(t *testing.T) {
	var b presence.Book
	put := func(seq uint64, l presence.Line, expires time.Duration, now time.Time) (bool, error) {
		return b.Put(presence.Evidence{Source: "s", Item: "1", Line: l, Seq: seq, Expires: now.Add(expires)}, now)
	}
	if ok, err := put(5, presence.LineInCall, time.Minute, noon); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := put(4, presence.LineIdle, time.Minute, noon); ok || !errors.Is(err, presence.ErrStale) {
		t.Errorf("a lower Seq: %v, %v", ok, err)
	}
	if ok, err := put(5, presence.LineHeld, time.Minute, noon.Add(time.Second)); !ok || err != nil {
		t.Errorf("the same Seq: %v, %v", ok, err)
	}
	if live := b.Live(noon.Add(time.Second)); len(live) != 1 || live[0].Line != presence.LineHeld || !live[0].Since.Equal(noon) {
		t.Errorf("a call on hold goes on since it began: %+v", live)
	}
	if live := b.Live(noon.Add(2 * time.Minute)); len(live) != 0 {
		t.Errorf("expired, and there: %+v", live)
	}
	if ok, err := put(1, presence.LineIdle, time.Minute, noon.Add(3*time.Minute)); !ok || err != nil {
		t.Errorf("a lower Seq after all has expired: %v, %v", ok, err)
	}
	if ok, err := put(1, presence.LineIdle, 0, noon.Add(3*time.Minute)); !ok || err != nil || len(b.Live(noon.Add(3*time.Minute))) != 0 {
		t.Errorf("taken back: %v, %v", ok, err)
	}
	for i := range 100 {
		_, err := b.Put(presence.Evidence{Source: "s", Item: fmt.Sprint(i), Expires: noon.Add(time.Hour)}, noon)
		if (err != nil) != (i >= 64) {
			t.Fatalf("item %d: %v", i, err)
		}
	}
}

// TestBookEnds holds that what was taken back is not brought up by older news that come late.
func TestBookEnds(t *testing.T) {
	var b presence.Book
	at := func(after time.Duration) presence.Evidence {
		return presence.Evidence{Source: "s", Item: "1", Line: presence.LineInCall, Seq: uint64(noon.Add(after).UnixMicro()), Expires: noon.Add(time.Hour)}
	}
	put := func(e presence.Evidence, now time.Time, stale bool) {
		t.Helper()
		if _, err := b.Put(e, now); errors.Is(err, presence.ErrStale) != stale {
			t.Errorf("%v", err)
		}
	}
	put(at(0), noon, false)
	over := at(time.Second)
	over.Expires = time.Time{}
	put(over, noon.Add(time.Second), false)
	put(at(0), noon.Add(2*time.Second), true)
	if rest := b.Rest(noon.Add(2 * time.Second)); !rest.Equal(noon.Add(time.Minute + time.Second)) {
		t.Errorf("kept until %s", rest)
	}
	put(at(3*time.Second), noon.Add(3*time.Second), false)
	put(over, noon.Add(4*time.Second), true)
	if rest := b.Rest(noon.Add(2 * time.Minute)); !rest.IsZero() {
		t.Errorf("kept until %s", rest)
	}
}
