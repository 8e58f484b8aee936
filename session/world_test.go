package session_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// conn is a transport that keeps what it is given.
type conn struct {
	mu      sync.Mutex // guards all below
	frames  []session.Frame
	full    bool // refuses frames
	closed  bool
	reason  *stream.Error
	refused int
}

func (c *conn) Info() session.ConnInfo {
	return session.ConnInfo{Transport: "fake", Remote: netip.MustParseAddrPort("192.0.2.1:1234"), Secure: true}
}

func (c *conn) Write(frames ...session.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return session.ErrEnded
	case c.full:
		c.refused++
		return session.ErrBacklog
	}
	c.frames = append(c.frames, frames...)
	return nil
}

func (c *conn) Close(reason *stream.Error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed, c.reason = true, reason
	}
	return nil
}

// take returns what was written since, encoded.
func (c *conn) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, f := range c.frames {
		b.Write(f.Bytes)
	}
	c.frames = nil
	return b.String()
}

// undelivered returns the frames, as a door does whose client is gone.
func (c *conn) undelivered() []session.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames
}

// condition is that of the stream error it was closed with, "-" for none.
func (c *conn) condition() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.closed:
		return ""
	case c.reason == nil:
		return "-"
	}
	return c.reason.Condition
}

// authenticator knows three mechanisms: NAME takes the user's name for a proof,
// STEPS asks for it first, BROKEN fails without a word for the client.
type authenticator struct{}

func (authenticator) Mechanisms(_ string, ch sasl.Channel) []string {
	if !ch.Secure {
		return []string{"STEPS"}
	}
	return []string{"STEPS", "NAME"}
}

func (authenticator) Begin(_ context.Context, mech, domain string, _ sasl.Channel) (sasl.Exchange, error) {
	if mech != "NAME" && mech != "STEPS" && mech != "BROKEN" {
		return nil, sasl.NewFailure(sasl.InvalidMechanism, "")
	}
	return &exchange{mech: mech, domain: domain}, nil
}

type exchange struct {
	mech, domain string
	who          jid.JID
}

func (e *exchange) Step(_ context.Context, response []byte) ([]byte, bool, error) {
	switch {
	case e.mech == "BROKEN":
		return nil, false, errors.New("the directory is away")
	case e.mech == "STEPS" && len(response) == 0:
		return []byte("who?"), false, nil
	case string(response) == "eve":
		return nil, false, sasl.NewFailure(sasl.NotAuthorized, "")
	}
	e.who = jid.MustParse(string(response) + "@" + e.domain)
	return nil, true, nil
}

func (e *exchange) Identity() jid.JID { return e.who }

// world is all that is around sessions. Presence of one's own is noted in the
// registry; messages that nobody takes are kept.
type world struct {
	t        testing.TB
	m        *session.Manager
	router   *router.Router
	registry *router.Memory
	table    *router.Table

	quiet bool // counts nothing

	mu     sync.Mutex // guards all below
	away   error      // of keeping messages
	kept   []string   // owner and id
	ended  []string   // full JID, whether it was available, receivers of directed presence
	counts []string
}

var exampleCom = jid.MustParse("example.com")

func newWorld(t testing.TB, change func(*session.Config)) *world {
	w := &world{t: t, registry: router.NewMemory(), table: router.NewTable()}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	x := mux.New(log)
	session.Register(x)
	w.router = router.New(router.Config{
		Domains: []jid.JID{exampleCom}, Registry: w.registry, Mailboxes: router.Local{Table: w.table}, Table: w.table,
		Mux: x, Accounts: w, Log: log,
	})
	w.router.Join(presence{w}, w, nil)
	cfg := session.Config{
		Domains: []jid.JID{exampleCom}, Node: "n1", Auth: authenticator{}, Router: w.router, Observer: w, Metrics: w,
		Features: []byte("<more xmlns='u:x'/>"), Log: log,
	}
	if change != nil {
		change(&cfg)
	}
	w.m = session.NewManager(cfg)
	return w
}

type presence struct{ *world }

func (p presence) HandleStanza(ctx context.Context, st *stanza.Stanza) error {
	if !st.To.IsZero() {
		s, _ := p.table.ByJID(st.From)
		s.Interest().AddDirected(st.To)
		return nil
	}
	b := p.binding(st.From)
	b.Presence, b.Priority = st, 7
	return p.registry.Update(ctx, b)
}

func (w *world) Exists(_ context.Context, bare jid.JID) (bool, error) {
	return bare.Local() != "nobody", nil
}

func (w *world) Store(_ context.Context, owner jid.JID, st *stanza.Stanza) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away != nil {
		return w.away
	}
	w.kept = append(w.kept, owner.String()+" "+st.ID)
	return nil
}

func (w *world) SessionEnded(_ context.Context, b router.Binding, in *router.Interest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := b.Full.String()
	if b.Available() {
		s += " available"
	}
	for _, to := range in.TakeDirected() {
		s += " " + to.String()
	}
	w.ended = append(w.ended, s)
}

func (w *world) Login(mech, result string) { w.count("login " + mech + " " + result) }
func (w *world) Received(k stanza.Kind)    { w.count("received ", k.String()) }
func (w *world) Sent(k stanza.Kind)        { w.count("sent ", k.String()) }
func (w *world) Ended(transport, reason string) {
	w.count("ended " + transport + " " + reason)
}

func (w *world) count(s ...string) {
	if w.quiet {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts = append(w.counts, strings.Join(s, ""))
}

func (w *world) said(list *[]string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(*list, ", ")
}

func (w *world) binding(full jid.JID) router.Binding {
	list, _ := w.registry.Lookup(context.Background(), full.Bare()) // memory
	for _, b := range list {
		if b.Full == full {
			return b
		}
	}
	return router.Binding{}
}

// client is a session and its transport.
type client struct {
	*session.Session
	w    *world
	conn *conn
}

func (w *world) open() *client {
	c := &conn{}
	o := w.openBy(c)
	o.conn = c
	return o
}

func (w *world) openBy(c session.Conn) *client {
	w.t.Helper()
	s, err := w.m.Open(w.t.Context(), c, session.Opening{To: "example.com", Lang: "de"})
	if err != nil {
		w.t.Fatal(err)
	}
	return &client{w: w, Session: s}
}

// bound signs in and binds.
func (w *world) bound(full string) *client {
	w.t.Helper()
	c := &conn{}
	o := w.boundBy(c, full)
	o.conn = c
	c.take()
	return o
}

func (w *world) boundBy(by session.Conn, full string) *client {
	w.t.Helper()
	c := w.openBy(by)
	j := jid.MustParse(full)
	c.says("<auth xmlns='"+stream.NSSASL+"' mechanism='NAME'>"+sasl.Encode([]byte(j.Local()))+"</auth>", "")
	if err := c.Restart(w.t.Context(), session.Opening{To: "example.com"}); err != nil {
		w.t.Fatal(err)
	}
	c.says("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='"+stream.NSBind+"'><resource>"+j.Resource()+"</resource></bind></iq>", "")
	if got := c.JID().String(); got != full {
		w.t.Fatalf("bound as %s", got)
	}
	return c
}

// receive gives the session an element.
func (c *client) receive(xml string) error {
	c.w.t.Helper()
	n, err := stanza.ParseFrame([]byte(xml), stanza.Limits{})
	if err != nil {
		c.w.t.Fatal(err)
	}
	return c.Receive(c.w.t.Context(), n)
}

// says is receive, and checks the condition of the stream error it ends with.
func (c *client) says(xml, condition string) {
	c.w.t.Helper()
	err := c.receive(xml)
	got := ""
	if e, ok := errors.AsType[*stream.Error](err); ok {
		got = e.Condition
	} else if err != nil {
		c.w.t.Fatalf("%s: %v is no stream error", xml, err)
	}
	if got != condition {
		c.w.t.Fatalf("%s: stream error %q, want %q", xml, got, condition)
	}
}

func message(to, id string) string {
	return "<message xmlns='jabber:client' to='" + to + "' id='" + id + "' type='chat'><body>Hi</body></message>"
}

func wants(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s\n got %s\nwant %s", what, got, want)
	}
}
