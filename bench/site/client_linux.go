package site

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

// ClientConfig says who a client is.
type ClientConfig struct {
	User, Resource string   // of peer.Domain
	Doors          []string // where it goes, the first as long as that answers
	// Take reads a stanza, in the order of the server, and End hears why the session
	// ended before the client left. They are called with the client's lock held.
	Take func(el wire.Element)
	End  func(why string)
}

// Client is a BOSH client that sends a request again until it is answered, at its
// other door if it has one, as XEP-0124 §14.3 has it. It keeps two connections,
// one to send on and one to wait on, and reads responses in order.
type Client struct {
	cfg  ClientConfig
	http http.Client

	at   atomic.Int32 // the door it goes to
	sid  string       // set before its goroutines start
	wait sync.WaitGroup

	mu      sync.Mutex // guards what follows
	turn    sync.Cond  // with mu: another request may go
	rid     uint64     // of the latest request
	read    uint64     // up to here responses were read
	answers map[uint64][]byte
	leaving bool
	err     error
}

// ClientTimeout is how long a client waits for the answer of a request.
const ClientTimeout = 4 * time.Second

const (
	clientWait     = 2 // seconds that a request may be held
	clientPatience = 30 * time.Second
	againIn        = 50 * time.Millisecond
	window         = 2
)

// NewClient makes a client; nothing is sent yet.
func NewClient(cfg ClientConfig) *Client {
	c := &Client{cfg: cfg, rid: 1000, read: 1000, answers: make(map[uint64][]byte)}
	c.http = http.Client{Timeout: ClientTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: window}}
	c.turn.L = &c.mu
	return c
}

// Full is its address.
func (c *Client) Full() string { return c.cfg.User + "@" + peer.Domain + "/" + c.cfg.Resource }

// Home has it go to its first door again.
func (c *Client) Home() { c.at.Store(0) }

// exchange sends a request until it is answered.
func (c *Client) exchange(ctx context.Context, text string) ([]byte, error) {
	var last error
	for limit := time.Now().Add(clientPatience); time.Now().Before(limit); Pause(ctx, againIn) {
		at := c.at.Load()
		answer, final, err := c.post(ctx, c.cfg.Doors[at], text)
		if err == nil || final || ctx.Err() != nil {
			return answer, err
		}
		last = err
		c.at.CompareAndSwap(at, (at+1)%int32(len(c.cfg.Doors)))
	}
	return nil, fmt.Errorf("nobody answers: %w", last)
}

// post sends a request once; final says that another try is of no use.
func (c *Client) post(ctx context.Context, door, text string) (answer []byte, final bool, err error) {
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
func (c *Client) request(ctx context.Context, attrs, elements string) ([]byte, error) {
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
func (c *Client) fail(err error) {
	if c.err == nil {
		c.err = err
		c.cfg.End(err.Error())
	}
}

// take reads a response. It is called with the lock held.
func (c *Client) take(body []byte) {
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
		c.cfg.Take(el)
	}
}

// Open signs in, binds, reads the contacts and sends what comes with that, such as
// presence. From then on it waits for what comes.
func (c *Client) Open(ctx context.Context, elements string) error {
	token := base64.StdEncoding.EncodeToString([]byte("\x00" + c.cfg.User + "\x00" + peer.Password))
	for _, step := range []struct{ attrs, elements, want string }{
		{fmt.Sprintf("to='%s' ver='1.11' wait='%d' hold='1'", peer.Domain, clientWait), "", "PLAIN"},
		{"", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + token + "</auth>", "<success"},
		{"xmpp:restart='true' to='" + peer.Domain + "'", "", "xmpp-bind"},
		{"", "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" +
			c.cfg.Resource + "</resource></bind></iq>", c.Full()},
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
	if _, err := c.request(ctx, "", elements); err != nil {
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

// Send sends stanzas and returns once they were accepted.
func (c *Client) Send(ctx context.Context, stanzas string) error {
	_, err := c.request(ctx, "", stanzas)
	return err
}

// Close ends the session.
func (c *Client) Close(ctx context.Context) {
	_, _ = c.request(ctx, "type='terminate'", "") // whatever it had is in the book
	c.wait.Wait()
	c.http.CloseIdleConnections()
}
