package bosh_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stanza"
)

// pair is two nodes with real sessions and one registry. Messages for whom no
// session takes them are kept.
type pair struct {
	t        *testing.T
	registry *router.Memory
	cfg      bosh.Config
	nodes    [2]*node
	old      []*bosh.Handler

	mu   sync.Mutex // guards what follows
	kept []string
	gate chan struct{} // keeping waits until it is closed; nil if it does not
}

type node struct {
	h        atomic.Pointer[bosh.Handler] // after a move away, one that is stopped
	sessions *session.Manager
	router   *router.Router
	table    *router.Table
}

var example = jid.MustParse("example.com")

func newPair(t *testing.T, cfg bosh.Config) *pair {
	p := &pair{t: t, registry: router.NewMemory(), cfg: cfg}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	for i := range p.nodes {
		n := &node{table: router.NewTable()}
		n.router = router.New(router.Config{
			Domains: []jid.JID{example}, Registry: p.registry, Mailboxes: p, Table: n.table, Mux: mux.New(log), Accounts: p, Log: log,
		})
		n.router.Join(nobody{}, p, nil)
		n.sessions = session.NewManager(session.Config{
			Domains: []jid.JID{example}, Node: router.NodeID(fmt.Sprint(i)), Auth: trusting{}, Router: n.router, Log: log,
		})
		p.open(n)
		p.nodes[i] = n
	}
	return p
}

// open gives a node a door that is open.
func (p *pair) open(n *node) {
	if h := n.h.Load(); h != nil {
		p.old = append(p.old, h)
	}
	cfg := p.cfg
	cfg.Open = func(ctx context.Context, c session.Conn, o session.Opening) (bosh.Session, error) {
		s, err := n.sessions.Open(ctx, c, o)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	cfg.Peer = func(*http.Request) (netip.AddrPort, bool) { return netip.AddrPort{}, true }
	n.h.Store(bosh.New(cfg))
}

// resume returns what takes sessions up at a node.
func (n *node) resume(ctx context.Context) func(session.Conn, session.Snapshot) (bosh.Session, error) {
	return func(c session.Conn, snap session.Snapshot) (bosh.Session, error) {
		s, err := n.sessions.Resume(ctx, c, snap)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// run looks after whichever door the node has.
func (n *node) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for h := n.h.Load(); ctx.Err() == nil; h = n.h.Load() {
		part, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- h.Run(part) }()
		for n.h.Load() == h && ctx.Err() == nil {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		cancel()
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

func (p *pair) stop() {
	for _, h := range append(p.old, p.nodes[0].h.Load(), p.nodes[1].h.Load()) {
		if err := h.Shutdown(context.Background()); err != nil {
			p.t.Error(err)
		}
	}
}

// Post implements router.Mailboxes for both nodes.
func (p *pair) Post(_ context.Context, to []router.SID, st *stanza.Stanza) error {
	frame := st.AppendXML(nil)
	err := router.ErrUndelivered
	for _, sid := range to {
		if slices.ContainsFunc(p.nodes[:], func(n *node) bool {
			s, ok := n.table.BySID(sid)
			return ok && s.Deliver(st, frame) == nil
		}) {
			err = nil
		}
	}
	return err
}

// Send implements router.Mailboxes.
func (p *pair) Send(ctx context.Context, letters []router.Letter) error {
	for _, l := range letters {
		_ = p.Post(ctx, []router.SID{l.To}, l.Stanza) // who has gone is passed over
	}
	return nil
}

func (p *pair) Exists(context.Context, jid.JID) (bool, error) { return true, nil }

func (p *pair) Store(_ context.Context, owner jid.JID, st *stanza.Stanza) error {
	if gate := p.theGate(); gate != nil {
		<-gate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = append(p.kept, owner.Local()+" "+st.ID)
	return nil
}

func (p *pair) theGate() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gate
}

// shut lets keeping wait until what it returns is called.
func (p *pair) shut() (open func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gate := make(chan struct{})
	p.gate = gate
	return func() { close(gate) }
}

// keptFor returns the ids of what was kept for an account.
func (p *pair) keptFor(owner string) (ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.kept {
		if id, ok := strings.CutPrefix(k, owner+" "); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// nobody is told of presence.
type nobody struct{}

func (nobody) HandleStanza(context.Context, *stanza.Stanza) error { return nil }

// trusting takes a name for a proof.
type trusting struct{}

func (trusting) Mechanisms(string, sasl.Channel) []string { return []string{"NAME"} }

func (trusting) Begin(_ context.Context, _, domain string, _ sasl.Channel) (sasl.Exchange, error) {
	return &named{domain: domain}, nil
}

type named struct {
	domain string
	who    jid.JID
}

func (e *named) Step(_ context.Context, name []byte) ([]byte, bool, error) {
	e.who = jid.MustParse(string(name) + "@" + e.domain)
	return nil, true, nil
}

func (e *named) Identity() jid.JID { return e.who }

// move stops a node, and has the other one go on with its sessions.
func (p *pair) move(from, to *node) {
	p.t.Helper()
	records := from.h.Load().WriteDown(p.t.Context())
	p.open(to)
	for _, data := range records {
		rec, err := bosh.ReadRecord(data)
		if err == nil {
			err = to.h.Load().TakeUp(rec, 0, to.resume(p.t.Context()))
		}
		if err != nil {
			p.t.Error(err)
		}
	}
}

// client is one that knows nothing of nodes: it sends to whoever is in front,
// and again what was not answered.
type client struct {
	t    *testing.T
	post func(body string) (status int, response string)
	sid  router.SID
	rid  int
}

func (c *client) attrs(more string) string {
	c.rid++
	return fmt.Sprintf("rid='%d' %s xmlns:xmpp='urn:xmpp:xbosh' %s", c.rid, ns, more)
}

// send sends one request until it is answered.
func (c *client) send(body string) string {
	for range 1000 {
		status, response := c.post(body)
		if status == http.StatusOK && response != again {
			return response
		}
		<-time.After(time.Millisecond)
	}
	c.t.Error("no answer to " + body)
	return ""
}

func (c *client) ask(attrs, payload string) string {
	return c.send("<body sid='" + string(c.sid) + "' " + c.attrs(attrs) + ">" + payload + "</body>")
}

var sidAttr = regexp.MustCompile(` sid='([^']*)'`)

// login opens a session and binds a resource.
func (c *client) login(name string) {
	c.t.Helper()
	created := c.send("<body to='example.com' ver='1.11' wait='20' hold='1' " + c.attrs("") + "/>")
	m := sidAttr.FindStringSubmatch(created)
	if m == nil {
		c.t.Fatal(created)
	}
	c.sid = router.SID(m[1])
	auth := base64.StdEncoding.EncodeToString([]byte(name))
	wantIn(c.t, "login", c.ask("", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NAME'>"+auth+"</auth>"), "<success")
	wantIn(c.t, "restart", c.ask("xmpp:restart='true' to='example.com'", ""), "<bind")
	bind := "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind></iq>"
	wantIn(c.t, "bind", c.ask("", bind), name+"@example.com/desk")
}

func chat(to, id string) string {
	return "<message xmlns='jabber:client' to='" + to + "' type='chat' id='" + id + "'><body>x</body></message>"
}

// tell sends a message to alice's session, from elsewhere.
func (p *pair) tell(n *node, id string) {
	st := stanza.New(stanza.KindMessage, "chat", []byte("<body>x</body>"))
	st.ID, st.From, st.To = id, jid.MustParse("bob@example.com/desk"), jid.MustParse("alice@example.com/desk")
	if err := n.router.HandleStanza(p.t.Context(), st); err != nil {
		p.t.Error(err)
	}
}

var messageID = regexp.MustCompile(`<message [^>]*id='([^']*)'`)

func idsIn(body string) (ids []string) {
	for _, m := range messageID.FindAllStringSubmatch(body, -1) {
		ids = append(ids, m[1])
	}
	return ids
}
