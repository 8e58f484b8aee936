// Package innovaphonetest is a peer that speaks AppWebsocket and PbxApi as the documentation
// of innovaphone has them, for tests: there is no PBX of theirs to be had for that.
//
//	p := innovaphonetest.Start(t, "deskline", "secret", "2001", "2002")
//	p.Set("2001", innovaphonetest.Item{Contact: "tel:", Status: "open", Activity: "on-the-phone"})
//	p.Freeze() // takes connections and answers nothing
package innovaphonetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// Item is one element of a presence.
type Item struct {
	Contact  string `json:"contact"`
	Status   string `json:"status"`
	Activity string `json:"activity"`
	Note     string `json:"note"`
}

// PBX is one switch, as far as its PbxApi goes.
type PBX struct {
	t             testing.TB
	server        *httptest.Server
	app, password string

	mu     sync.Mutex // guards all below
	users  map[string][]Item
	subs   map[*websocket.Conn]map[string]string // the src by user
	frozen bool
}

// Start starts a PBX with an app object and some users, all of them registered.
func Start(t testing.TB, app, password string, users ...string) *PBX {
	t.Helper()
	p := &PBX{t: t, app: app, password: password, users: map[string][]Item{}, subs: map[*websocket.Conn]map[string]string{}}
	for _, u := range users {
		p.users[u] = []Item{{Contact: "tel:", Status: "open"}}
	}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() { p.Drop(); p.server.Close() })
	return p
}

// URL is the address of its AppWebsocket.
func (p *PBX) URL() string {
	return "ws" + strings.TrimPrefix(p.server.URL, "http") + "/PBX0/APPS/websocket"
}

// Freeze halts the PBX: it takes connections and says nothing.
func (p *PBX) Freeze() { p.mu.Lock(); p.frozen = true; p.mu.Unlock() }

// Thaw lets a frozen PBX go on with new connections.
func (p *PBX) Thaw() { p.mu.Lock(); p.frozen = false; p.mu.Unlock() }

func (p *PBX) halted() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.frozen }

// Drop ends all connections.
func (p *PBX) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.subs {
		_ = c.CloseNow()
	}
}

// Set says what a user's presence is, and tells who asked for it. Without items the user is gone.
func (p *PBX) Set(user string, items ...Item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[user] = items
	for c, subs := range p.subs {
		if src, ok := subs[user]; ok {
			p.tell(c, src, user)
		}
	}
}

// tell sends the presence of a user. It is called with the lock held.
func (p *PBX) tell(c *websocket.Conn, src, user string) {
	items := p.users[user]
	p.say(c, map[string]any{"api": "PbxApi", "mt": "PresenceState", "src": src, "up": items != nil, "num": user})
	if items != nil {
		p.say(c, map[string]any{"api": "PbxApi", "mt": "PresenceUpdate", "src": src, "presence": items})
	}
}

func (p *PBX) say(c *websocket.Conn, what any) {
	data, err := json.Marshal(what)
	if err != nil {
		p.t.Error(err)
	}
	if !p.frozen {
		_ = c.Write(context.Background(), websocket.MessageText, data) // the other side may be gone
	}
}

func (p *PBX) serve(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{OnPingReceived: func(context.Context, []byte) bool { return !p.halted() }})
	if err != nil {
		return
	}
	p.mu.Lock()
	p.subs[c] = map[string]string{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.subs, c)
		p.mu.Unlock()
		_ = c.CloseNow()
	}()
	in := false
	for {
		_, data, err := c.Read(r.Context())
		if err != nil {
			return
		}
		var m map[string]any
		if json.Unmarshal(data, &m) != nil {
			return
		}
		p.mu.Lock()
		p.answer(c, m, &in)
		p.mu.Unlock()
	}
}

// answer is called with the lock held.
func (p *PBX) answer(c *websocket.Conn, m map[string]any, in *bool) {
	text := func(key string) string { s, _ := m[key].(string); return s }
	switch text("mt") {
	case "AppChallenge":
		p.say(c, map[string]any{"mt": "AppChallengeResult", "challenge": "0123456789abcdef"})
	case "AppLogin":
		sum := sha256.Sum256([]byte(p.app + ":" + text("domain") + ":" + text("sip") + ":" + text("guid") + ":" + text("dn") + ":0123456789abcdef:" + p.password))
		*in = text("app") == p.app && text("digest") == hex.EncodeToString(sum[:])
		p.say(c, map[string]any{"mt": "AppLoginResult", "app": text("app"), "ok": *in})
	case "SubscribePresence":
		if !*in || text("api") != "PbxApi" {
			return
		}
		user := text("num") + text("sip")
		p.say(c, map[string]any{"api": "PbxApi", "mt": "SubscribePresenceResult", "src": text("src")})
		p.subs[c][user] = text("src")
		if p.users[user] != nil {
			p.tell(c, text("src"), user)
		}
	}
}
