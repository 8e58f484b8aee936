package graph

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// The answer of a full batch: 400 mailboxes with ten meetings each.
func BenchmarkBatch_400Mailboxes(b *testing.B) {
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	var text strings.Builder
	text.WriteString(`{"responses":[`)
	parts := make([]*part, Requests)
	for n := range parts {
		p := &part{}
		var list []string
		for m := range Mailboxes {
			box := fmt.Sprintf("u%d@example.com", n*Mailboxes+m)
			p.asks = append(p.asks, calendar.Ask{User: jid.MustParse(box), From: from, Until: from.Add(72 * time.Hour)})
			p.boxes = append(p.boxes, box)
			var items []string
			for i := range 10 {
				at := from.Add(time.Duration(i) * 7 * time.Hour)
				items = append(items, fmt.Sprintf(`{"isPrivate":false,"status":"busy","subject":"Something that is skipped","location":"Room","start":{"dateTime":"%s.0000000","timeZone":"UTC"},"end":{"dateTime":"%s.0000000","timeZone":"UTC"}}`,
					at.Format(stamp), at.Add(time.Hour).Format(stamp)))
			}
			list = append(list, fmt.Sprintf(`{"scheduleId":%q,"availabilityView":"%s","scheduleItems":[%s]}`, box, strings.Repeat("0", 288), strings.Join(items, ",")))
		}
		parts[n] = p
		if n > 0 {
			text.WriteString(",")
		}
		fmt.Fprintf(&text, `{"id":"%d","status":200,"headers":{"Content-Type":"application/json"},"body":{"value":[%s]}}`, n+1, strings.Join(list, ","))
	}
	text.WriteString("]}")
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		replies, err := parseBatch(strings.NewReader(text.String()), Requests)
		if err != nil {
			b.Fatal(err)
		}
		for i, a := range replies {
			for _, one := range a.reply().results(parts[i]) {
				if len(one.Answer.Periods) != 10 {
					b.Fatalf("%+v", one)
				}
			}
		}
	}
}

// A body of 1,000 notifications, to a node that watches 10,000 mailboxes.
func BenchmarkNotifications_1000Of10000(b *testing.B) {
	hub := NewHub(HubConfig{Key: []byte("key"), Log: slog.New(slog.DiscardHandler), Peer: func(*http.Request) netip.Addr { return netip.Addr{} }})
	changes := 0
	w := &watcher{name: "cloud", changed: func(jid.JID) { changes++ }, all: map[jid.JID]*sub{}}
	var text strings.Builder
	text.WriteString(`{"value":[`)
	for n := range 10_000 {
		user := jid.MustParse(fmt.Sprintf("u%d@example.com", n))
		m := &sub{user: user, tag: hub.tag("cloud", user), id: fmt.Sprintf("7f105c7d-2dc5-4530-97cd-%012d", n)}
		w.all[user] = m
		hub.join(m.tag, w, user)
		if n%10 != 0 {
			continue
		}
		if n > 0 {
			text.WriteString(",")
		}
		fmt.Fprintf(&text, `{"subscriptionId":%q,"subscriptionExpirationDateTime":"2026-03-19T22:11:09.952Z","clientState":%q,"changeType":"updated","resource":"Users/%d/Events/AAMkAGUwNjQ4ZjIx",`+
			`"resourceData":{"@odata.type":"#Microsoft.Graph.Event","@odata.id":"Users/%d/Events/AAMkAGUwNjQ4ZjIx","@odata.etag":"W/\"CQAAABYAAACQ2fKdhq8oSKEDSVrdi3lRAAGDUUXn\"","id":"AAMkAGUwNjQ4ZjIx"},"tenantId":"84bd8158-6d4d-4958-8b9f-9d6445542f95"}`,
			m.id, hub.seal(m.tag), n, n)
	}
	text.WriteString("]}")
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		changes = 0
		r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(text.String()))
		answer := httptest.NewRecorder()
		if hub.ServeHTTP(answer, r); answer.Code != http.StatusAccepted || changes != 1000 {
			b.Fatal(answer.Code, changes)
		}
	}
}
