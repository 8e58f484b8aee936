package xmpptest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const (
	nsBOSH  = "http://jabber.org/protocol/httpbind"
	nsXBOSH = "urn:xmpp:xbosh"
)

// bosh is a session of XEP-0124: one request is always held, a second one
// carries what there is to say.
type bosh struct {
	ctx    context.Context //nolint:containedctx // the life of the session
	stop   context.CancelFunc
	url    func() string
	domain string
	in     *inbox
	http   *http.Client
	flying sync.WaitGroup

	mu    sync.Mutex // guards all below
	sid   string
	rid   uint64             // of the next request
	turn  uint64             // whose response is the next to be looked at
	ready map[uint64]*answer // responses that came too early
	queue []string           // attributes and content of bodies to send
	held  int                // requests without a response
	over  bool
}

type answer struct {
	body *element
	err  error
}

// atOnce is how many requests a session has at most (XEP-0124 §11).
const atOnce = 2

func dialBOSH(ctx context.Context, url func() string, domain string, in *inbox) (wire, error) {
	start, err := rand.Int(rand.Reader, big.NewInt(1<<40))
	if err != nil {
		return nil, err
	}
	b := &bosh{url: url, domain: domain, in: in, rid: start.Uint64() + 1, ready: make(map[uint64]*answer)}
	b.ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	b.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}}
	b.turn = b.rid
	body, err := b.post(ctx, b.rid, " to='"+escape(domain)+"' ver='1.11' wait='55' hold='1' xml:lang='en' xmpp:version='1.0'>")
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rid++
	b.turn++
	b.sid = body.attr("sid")
	b.take(body)
	b.pump()
	return b, nil
}

func (b *bosh) restart() error {
	return b.push(" xmpp:restart='true' to='" + escape(b.domain) + "'>")
}

func (b *bosh) send(elements ...string) error { return b.push(">" + strings.Join(elements, "")) }

func (b *bosh) close(elements ...string) error {
	return b.push(" type='terminate'>" + strings.Join(elements, ""))
}

func (b *bosh) cut() {
	b.stop()
	b.flying.Wait()
	b.http.CloseIdleConnections()
	b.in.end(ending{err: context.Canceled})
}

func (b *bosh) push(payload string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return errors.New("the session has ended")
	}
	b.queue = append(b.queue, payload)
	b.pump()
	return nil
}

// pump makes the requests that are due. It is called with the lock held.
func (b *bosh) pump() {
	for !b.over && (b.held == 0 || len(b.queue) > 0 && b.held < atOnce) {
		payload := ">"
		if len(b.queue) > 0 {
			payload, b.queue = b.queue[0], b.queue[1:]
		}
		rid := b.rid
		b.rid++
		b.held++
		b.flying.Go(func() {
			body, err := b.post(b.ctx, rid, " sid='"+escape(b.sid)+"'"+payload)
			b.came(rid, &answer{body, err})
		})
	}
}

// came looks at responses in the order of their requests.
func (b *bosh) came(rid uint64, a *answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held--
	if a.err == nil && rid != b.turn && refusal(a.body) {
		b.take(a.body)
		return
	}
	b.ready[rid] = a
	for next := b.ready[b.turn]; next != nil; next = b.ready[b.turn] {
		delete(b.ready, b.turn)
		b.turn++
		if next.err != nil {
			b.over = true
			b.in.end(ending{err: next.err})
			return
		}
		b.take(next.body)
	}
	b.pump()
}

// refusal reports whether a response ends the session out of turn: the server
// could not read the request and knows nothing of the others.
func refusal(body *element) bool {
	condition := body.attr("condition")
	return body.attr("type") == "terminate" && condition != "" && condition != "other-request"
}

// take passes on what a response carries.
func (b *bosh) take(body *element) {
	condition := body.attr("condition")
	for _, c := range body.children {
		if c.name.Space == nsStreams && c.name.Local == "error" {
			condition = conditionOf(c)
			continue
		}
		if body.attr("type") == "terminate" && c.name.Local == "text" {
			continue // why, for people
		}
		b.in.put(c)
	}
	switch {
	case body.attr("type") == "terminate":
		b.over = true
		b.in.end(ending{condition: condition})
	case body.attr("type") != "":
		b.over = true
		b.in.end(ending{err: fmt.Errorf("response %s", body)})
	}
}

// post makes one request; rest follows the attributes every body has.
func (b *bosh) post(ctx context.Context, rid uint64, rest string) (*element, error) {
	text := "<body xmlns='" + nsBOSH + "' xmlns:xmpp='" + nsXBOSH + "' rid='" + strconv.FormatUint(rid, 10) + "'" + rest + "</body>"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url(), strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	resp, err := b.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s: %s", resp.Status, data)
	}
	found, err := parse(string(data), "")
	if err != nil {
		return nil, err
	}
	if len(found) != 1 || found[0].name.Space != nsBOSH || found[0].name.Local != "body" {
		return nil, fmt.Errorf("no body: %s", data)
	}
	return found[0], nil
}
