package app_test

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// chatter is a BOSH client that goes to the other node when one fails: it sends
// the same request again, as XEP-0124 §14.3 has it. It keeps two connections,
// one to send on and one to wait on, and talks to its mate in numbers.
type chatter struct {
	user string
	home int32
	mate *chatter
	http http.Client

	doors []string     // of the nodes
	at    atomic.Int32 // the node it goes to
	roams bool         // with each request to the other one; set before its goroutines start
	sid   string       // set before its goroutines start

	mu      sync.Mutex // guards what follows
	turn    sync.Cond  // with mu: another request may go
	rid     uint64     // of the latest request
	read    uint64     // up to here responses were read
	answers map[uint64]*bodyElement
	leaving bool
	err     error
	sent    int   // numbers that the server accepted
	got     []int // in their order
	away    []string
	shown   []childElement // presence, in its order
	last    time.Time      // when a number arrived
	pause   time.Duration
}

// bodyElement is a response.
type bodyElement struct {
	SID       string         `xml:"sid,attr"`
	Type      string         `xml:"type,attr"`
	Condition string         `xml:"condition,attr"`
	Success   *struct{}      `xml:"success"`
	Bound     string         `xml:"iq>bind>jid"`
	Messages  []childElement `xml:"message"`
	Presences []childElement `xml:"presence"`
}

type childElement struct {
	From string `xml:"from,attr"`
	Type string `xml:"type,attr"`
	Body string `xml:"body"`
	Show string `xml:"show"`
}

const (
	clientTimeout  = 2 * time.Second
	clientPatience = 20 * time.Second // with both nodes
	againIn        = 50 * time.Millisecond
	pace           = 40 * time.Millisecond // between the numbers of a chatter
	firstRID       = 1000
)

func newChatter(user string, home int32, doors []string) *chatter {
	c := &chatter{user: user, home: home, doors: doors, rid: firstRID, read: firstRID, answers: make(map[uint64]*bodyElement)}
	c.http = http.Client{Timeout: clientTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 2}}
	c.turn.L = &c.mu
	c.at.Store(home)
	return c
}

func (c *chatter) full() string { return c.user + "@localhost/desk" }

func (c *chatter) goHome() { c.at.Store(c.home) }

// exchange sends a request to one node after the other until it is answered.
func (c *chatter) exchange(ctx context.Context, text string) (*bodyElement, error) {
	var last error
	for limit := time.Now().Add(clientPatience); time.Now().Before(limit); {
		at := c.at.Load()
		a, final, err := c.post(ctx, c.doors[at], text)
		if err == nil || final || ctx.Err() != nil {
			if c.roams {
				c.at.Store(1 - at)
			}
			return a, err
		}
		last = err
		c.at.CompareAndSwap(at, 1-at)
		<-time.After(againIn)
	}
	return nil, fmt.Errorf("no node answers: %w", last)
}

// post sends a request once; final says that another node has no better answer.
func (c *chatter) post(ctx context.Context, door, text string) (a *bodyElement, final bool, err error) {
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
	a = new(bodyElement)
	return a, true, xml.Unmarshal(data, a)
}

var errLeft = errors.New("the client has left")

// request sends elements with the next number. Its response is read once all
// earlier ones are.
func (c *chatter) request(ctx context.Context, attrs, elements string) (*bodyElement, error) {
	c.mu.Lock()
	for c.err == nil && c.rid >= c.read+2 {
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
		c.fail(err)
		return nil, err
	}
	c.answers[rid] = a
	for next := c.answers[c.read+1]; next != nil; next = c.answers[c.read+1] {
		c.read++
		delete(c.answers, c.read)
		c.take(next)
	}
	return a, c.err
}

// fail keeps the first thing that went wrong. It is called with the lock held.
func (c *chatter) fail(err error) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %w", c.user, err)
	}
}

// take reads a response. It is called with the lock held.
func (c *chatter) take(a *bodyElement) {
	if a.Type == "terminate" && !c.leaving {
		c.fail(fmt.Errorf("the session ended: %q", a.Condition))
	}
	for _, m := range a.Messages {
		n, err := strconv.Atoi(m.Body)
		if err != nil || m.Type != "chat" || m.From != c.mate.full() {
			c.fail(fmt.Errorf("unexpected message: %+v", m))
			continue
		}
		now := time.Now()
		c.got = append(c.got, n)
		c.pause = max(c.pause, now.Sub(c.last))
		c.last = now
	}
	c.shown = append(c.shown, a.Presences...)
	for _, p := range a.Presences {
		if p.Type == "unavailable" {
			c.away = append(c.away, p.From)
		}
	}
}

// login signs in and binds.
func (c *chatter) login(ctx context.Context) error {
	a, err := c.request(ctx, "to='localhost' ver='1.11' wait='1' hold='1'", "")
	if err != nil {
		return err
	}
	c.sid = a.SID
	token := base64.StdEncoding.EncodeToString([]byte("\x00" + c.user + "\x00" + password))
	a, err = c.request(ctx, "", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>"+token+"</auth>")
	if err != nil || a.Success == nil {
		return fmt.Errorf("%s: no success: %w", c.user, err)
	}
	if _, err = c.request(ctx, "xmpp:restart='true' to='localhost'", ""); err != nil {
		return err
	}
	a, err = c.request(ctx, "", "<iq xmlns='jabber:client' type='set' id='bind'>"+
		"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind></iq>")
	if err != nil || a.Bound != c.full() {
		return fmt.Errorf("%s: not bound: %w", c.user, err)
	}
	_, err = c.request(ctx, "", "<presence xmlns='jabber:client'/>")
	return err
}

// wait has the server hold a request for what comes, until it leaves or fails.
func (c *chatter) wait(ctx context.Context) {
	for {
		if _, err := c.request(ctx, "", ""); err != nil {
			return
		}
	}
}

// talk shows its presence to its mate and sends one number after the other
// until stop is closed.
func (c *chatter) talk(ctx context.Context, stop <-chan struct{}) {
	if _, err := c.request(ctx, "", "<presence xmlns='jabber:client' to='"+c.mate.full()+"'/>"); err != nil {
		return
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		_, err := c.request(ctx, "", fmt.Sprintf("<message xmlns='jabber:client' to='%s' type='chat' id='n%d'><body>%d</body></message>", c.mate.full(), n, n))
		if err != nil {
			return
		}
		c.mu.Lock()
		c.sent++
		c.mu.Unlock()
	}
}

// leave ends the session.
func (c *chatter) leave(ctx context.Context) error {
	_, err := c.request(ctx, "type='terminate'", "")
	return err
}

// chatterState is how a chatter stands.
type chatterState struct {
	err   error
	sent  int
	got   []int
	away  []string
	pause time.Duration
}

func (c *chatter) state() chatterState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return chatterState{c.err, c.sent, append([]int(nil), c.got...), append([]string(nil), c.away...), c.pause}
}
