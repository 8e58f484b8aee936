package bosh_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/deskline/deskline/bosh"
)

// A session goes to and fro between two nodes while its client, who knows
// nothing of it, writes and is written to. The ledger shows that each message
// arrived once.
func TestMoveLedger(t *testing.T) {
	p := newPair(t, bosh.Config{})
	var front atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.nodes[front.Load()].h.Load().ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(p.stop)
	c := &client{t: t, rid: 1000, post: func(body string) (int, string) {
		resp, err := srv.Client().Post(srv.URL, "text/xml", strings.NewReader(body))
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			return 0, ""
		}
		return resp.StatusCode, string(data)
	}}
	c.login("alice")

	const written, told = 300, 600
	var got []string
	pace := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() { // bob writes
		for i := range told {
			<-pace
			p.tell(p.nodes[i%2], fmt.Sprintf("b%d", i))
		}
	})
	others.Go(func() { // and the session moves
		for i := range told / 10 {
			for range 10 {
				<-pace
			}
			p.move(p.nodes[i%2], p.nodes[1-i%2])
			front.Store(int32(1 - i%2))
		}
	})
	// Two requests at a time, as a browser has them.
	var pending []chan string
	request := func(payload string) {
		ch := make(chan string, 1)
		body := "<body sid='" + string(c.sid) + "' " + c.attrs("") + ">" + payload + "</body>"
		go func() { ch <- c.send(body) }()
		if pending = append(pending, ch); len(pending) == 2 {
			got = append(got, idsIn(<-pending[0])...)
			pending = pending[1:]
		}
	}
	var sent []string
	for i := range written {
		id := fmt.Sprintf("a%d", i)
		sent = append(sent, id)
		request(chat("carol@example.com", id))
		for range 2 * told / written {
			pace <- struct{}{}
		}
	}
	others.Wait()
	c.ask("pause='60'", "") // fetches what is held
	for _, ch := range pending {
		got = append(got, idsIn(<-ch)...)
	}
	end := c.ask("type='terminate'", "")
	got = append(got, idsIn(end)...)
	if kept := p.keptFor("carol"); !slices.Equal(kept, sent) {
		t.Errorf("alice's messages arrived as %v; last response %s", kept[max(0, len(kept)-5):], end)
	}
	p.stop()
	ledger(t, told, got, p.keptFor("alice"))
}

// ledger holds what was written to alice against what she got, in order, and
// what was kept for her.
func ledger(t *testing.T, told int, got, kept []string) {
	t.Helper()
	count := make(map[string]int)
	for _, id := range append(slices.Clone(got), kept...) {
		count[id]++
	}
	for i := range told {
		if id := fmt.Sprintf("b%d", i); count[id] != 1 {
			t.Errorf("%s arrived %d times", id, count[id])
		}
	}
	last := -1
	for _, id := range got {
		var n int
		if _, err := fmt.Sscanf(id, "b%d", &n); err != nil || n <= last {
			t.Fatalf("order: %v", got)
		}
		last = n
	}
}
