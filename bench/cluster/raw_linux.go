package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/bench/peer"
	"github.com/deskline/deskline/bench/wire"
)

// raw is a BOSH client that sends a request again until it is answered, at its
// other door if it has one, as XEP-0124 §14.3 has it. It keeps two connections,
// one to send on and one to wait on, and reads responses in order.
type raw struct {
	index int
	book  *book
	http  http.Client

	doors []string
	at    atomic.Int32 // the door it goes to
	sid   string       // set before its goroutines start
	wait  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	turn    sync.Cond  // with mu: another request may go
	rid     uint64     // of the latest request
	read    uint64     // up to here responses were read
	answers map[uint64][]byte
	leaving bool
	err     error
}

const (
	rawWait     = 2               // seconds that a request may be held
	rawTimeout  = 4 * time.Second // of a request
	rawPatience = 30 * time.Second
	againIn     = 50 * time.Millisecond
	window      = 2
)

func newRaw(i int, doors []string, b *book) *raw {
	c := &raw{index: i, book: b, doors: doors, rid: 1000, read: 1000, answers: make(map[uint64][]byte)}
	c.http = http.Client{Timeout: rawTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: window}}
	c.turn.L = &c.mu
	return c
}

func (c *raw) home() { c.at.Store(0) }

// exchange sends a request until it is answered.
func (c *raw) exchange(ctx context.Context, text string) ([]byte, error) {
	var last error
	for limit := time.Now().Add(rawPatience); time.Now().Before(limit); pause(ctx, againIn) {
		at := c.at.Load()
		answer, final, err := c.post(ctx, c.doors[at], text)
		if err == nil || final || ctx.Err() != nil {
			return answer, err
		}
		last = err
		c.at.CompareAndSwap(at, (at+1)%int32(len(c.doors)))
	}
	return nil, fmt.Errorf("nobody answers: %w", last)
}

// post sends a request once; final says that another try is of no use.
func (c *raw) post(ctx context.Context, door, text string) (answer []byte, final bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, door, strings.NewReader(text))
	if err != nil {
		return nil, true, err
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, false, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, false, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, res.StatusCode < http.StatusInternalServerError, fmt.Errorf("status %d: %s", res.StatusCode, data)
	}
	return data, true, nil
}

var errLeft = errors.New("the client has left")

// request sends elements with the next number. Its response is read once all
// earlier ones are.
func (c *raw) request(ctx context.Context, attrs, elements string) ([]byte, error) {
	c.mu.Lock()
	for c.err == nil && c.rid >= c.read+window {
		c.turn.Wait()
	}
	if err := c.err; err != nil || c.leaving {
		c.mu.Unlock()
		return nil, errors.Join(errLeft, err)
	}
	c.rid++
	rid := c.rid
	c.leaving = strings.Contains(attrs, "terminate")
	c.mu.Unlock()
	sid := ""
	if c.sid != "" {
		sid = " sid='" + c.sid + "'"
	}
	a, err := c.exchange(ctx, "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' rid='"+
		strconv.FormatUint(rid, 10)+"'"+sid+" "+attrs+">"+elements+"</body>")
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.turn.Broadcast()
	if err != nil {
		c.fail(fmt.Errorf("request %d: %w", rid, err))
		return nil, err
	}
	c.answers[rid] = a
	for next, ok := c.answers[c.read+1]; ok; next, ok = c.answers[c.read+1] {
		c.read++
		delete(c.answers, c.read)
		c.take(next)
	}
	return a, c.err
}

// fail ends the client. It is called with the lock held.
func (c *raw) fail(err error) {
	if c.err == nil {
		c.err = err
		c.book.fail(c.index, err.Error())
	}
}

// take reads a response. It is called with the lock held.
func (c *raw) take(body []byte) {
	if tag := wire.StartTag(body); string(wire.Attr(tag, "type")) == "terminate" && !c.leaving {
		c.fail(fmt.Errorf("the session ended after request %d: %s", c.read, tag))
	}
	if tag := wire.StartTag(body); string(wire.Attr(tag, "type")) == "error" {
		c.fail(fmt.Errorf("request %d has no response but an error", c.read)) // Strophe.js would not see it
	}
	for rest := wire.Inner(body); len(rest) > 0; {
		el, next, ok := wire.Next(rest)
		if !ok {
			return
		}
		rest = next
		switch string(el.Name) {
		case "message":
			if string(el.Attr("type")) == "error" { // it need not have the body
				c.book.arrive(c.index, 0, append([]byte(">"), el.Attr("id")...))
			} else {
				c.book.arrive(c.index, 0, el.Raw)
			}
		case "presence":
			if string(el.Attr("type")) == "unavailable" {
				c.book.away(c.index, string(el.Attr("from")))
			}
		}
	}
}

// open signs in and binds.
func (c *raw) open(ctx context.Context) error {
	token := base64.StdEncoding.EncodeToString([]byte("\x00" + userOf(c.index) + "\x00" + peer.Password))
	for _, step := range []struct{ attrs, elements, want string }{
		{fmt.Sprintf("to='%s' ver='1.11' wait='%d' hold='1'", peer.Domain, rawWait), "", "PLAIN"},
		{"", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + token + "</auth>", "<success"},
		{"xmpp:restart='true' to='" + peer.Domain + "'", "", "xmpp-bind"},
		{"", "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" +
			c.book.resource() + "</resource></bind></iq>", c.book.full(c.index)},
		{"", "<iq xmlns='jabber:client' type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>", "roster"},
	} {
		a, err := c.request(ctx, step.attrs, step.elements)
		if err != nil {
			return fmt.Errorf("sign in: %w", err)
		}
		if !bytes.Contains(a, []byte(step.want)) {
			return fmt.Errorf("sign in: %q without %q", a, step.want)
		}
		if c.sid == "" {
			c.sid = string(wire.Attr(wire.StartTag(a), "sid"))
		}
	}
	if _, err := c.request(ctx, "", "<presence xmlns='jabber:client'/><presence xmlns='jabber:client' to='"+c.book.full(c.index^1)+"'/>"); err != nil {
		return err
	}
	c.wait.Go(func() { // a request for what comes
		for {
			if _, err := c.request(ctx, "", ""); err != nil {
				return
			}
		}
	})
	return nil
}

// say sends a message and returns once it was accepted.
func (c *raw) say(ctx context.Context, mark string) error {
	_, err := c.request(ctx, "", "<message xmlns='jabber:client' type='chat' id='"+mark+"' to='"+c.book.full(c.index^1)+"'><body>"+
		mark+"</body></message>")
	return err
}

// close ends the session.
func (c *raw) close(ctx context.Context) {
	_, _ = c.request(ctx, "type='terminate'", "") // whatever it had is in the book
	c.wait.Wait()
	c.http.CloseIdleConnections()
}
