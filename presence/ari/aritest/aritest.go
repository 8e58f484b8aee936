// Package aritest is a peer that speaks the REST interface of Asterisk as an Asterisk 16 does,
// for tests that are to do without one.
//
//	p := aritest.Start(t, "deskline", "secret", "PJSIP/2001", "PJSIP/2002")
//	p.Device("PJSIP/2001", "INUSE")
//	p.Freeze() // takes connections and answers nothing
//
// What it says was recorded: the words of answers, which rights a request needs, and that
// another WebSocket of the same app leaves the first one open and silent.
package aritest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// PBX is one Asterisk, as far as its REST interface goes.
type PBX struct {
	t              testing.TB
	server         *httptest.Server
	user, password string

	mu       sync.Mutex // guards all below
	readOnly bool
	lists    []string // endpoints
	states   map[string]string
	apps     map[string]*app
	sockets  map[*websocket.Conn]struct{}
	frozen   chan struct{} // closed when it goes on; nil = it is not halted
	asked    []string
	answer   func(asked string)
}

// app is what has events told.
type app struct {
	socket  *websocket.Conn // nil = gone
	devices bool
	all     bool
}

// Start starts an Asterisk with a user and some endpoints, none of which is in a call.
func Start(t testing.TB, user, password string, endpoints ...string) *PBX {
	t.Helper()
	p := &PBX{
		t: t, user: user, password: password, lists: endpoints,
		states: map[string]string{}, apps: map[string]*app{}, sockets: map[*websocket.Conn]struct{}{},
	}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() { p.Thaw(); p.Restart(); p.server.Close() })
	return p
}

// URL is the address of the interface.
func (p *PBX) URL() string { return p.server.URL + "/ari" }

// ReadOnly has the user read only.
func (p *PBX) ReadOnly() { p.mu.Lock(); p.readOnly = true; p.mu.Unlock() }

// OnAnswer has a function called before each answer is sent, with the request that it is for, such as
// "GET /ari/endpoints". What the answer says is settled by then.
func (p *PBX) OnAnswer(f func(asked string)) { p.mu.Lock(); p.answer = f; p.mu.Unlock() }

// Asked returns all requests so far.
func (p *PBX) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// Freeze halts the Asterisk: it takes connections and says nothing.
func (p *PBX) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// Thaw lets it go on.
func (p *PBX) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// Restart ends all connections and forgets all apps.
func (p *PBX) Restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.sockets {
		_ = c.CloseNow()
	}
	clear(p.apps)
}

// Lose changes what a device does without an event.
func (p *PBX) Lose(device, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states[device] = state
}

// Device changes what a device does. INVALID is for one that there is no more.
func (p *PBX) Device(device, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states[device] = state
	p.event(device, state)
}

// State is what a device does.
func (p *PBX) State(device string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state(device)
}

// Event tells of a device what need not be so.
func (p *PBX) Event(device, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.event(device, state)
}

// event is called with the lock held.
func (p *PBX) event(device, state string) {
	if p.frozen != nil {
		return
	}
	for name, a := range p.apps {
		if a.all {
			p.say(a, map[string]any{
				"type": "ChannelVarset", "timestamp": "2026-11-21T22:33:01.068+0000", "application": name, "variable": "SIPDOMAIN", "value": "127.0.0.1",
				"channel": map[string]any{"id": "1795300381.2", "name": device + "-00000000", "state": "Ring"},
			})
		}
		if a.all || a.devices {
			p.say(a, map[string]any{
				"type": "DeviceStateChanged", "application": name, "timestamp": "2026-11-21T22:33:01.067+0000",
				"device_state": map[string]any{"name": device, "state": state}, "asterisk_id": "02:fc:00:00:00:01",
			})
		}
	}
}

// Channel tells of a channel of a device, such as ChannelHold, to those who hear all events.
func (p *PBX) Channel(kind, id, device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, a := range p.apps {
		if a.all {
			p.say(a, map[string]any{
				"type": kind, "timestamp": "2026-11-21T22:33:03.073+0000", "application": name,
				"channel": map[string]any{"id": id, "name": device + "-00000000", "state": "Up", "protocol_id": "1-28399@127.0.0.1"},
			})
		}
	}
}

func (p *PBX) say(a *app, what any) {
	data, err := json.Marshal(what)
	if err != nil {
		p.t.Error(err)
	}
	if a.socket != nil {
		_ = a.socket.Write(context.Background(), websocket.MessageText, data) // the other side may be gone
	}
}

// halt waits while it is halted.
func (p *PBX) halt(ctx context.Context) {
	p.mu.Lock()
	frozen := p.frozen
	p.mu.Unlock()
	if frozen != nil {
		select {
		case <-frozen:
		case <-ctx.Done():
		}
	}
}

func (p *PBX) serve(w http.ResponseWriter, r *http.Request) {
	p.halt(r.Context())
	user, password, _ := r.BasicAuth()
	if user != p.user || password != p.password {
		w.Header().Set("WWW-Authenticate", `Basic realm="Asterisk REST Interface"`)
		write(w, http.StatusUnauthorized, message("Authentication required"))
		return
	}
	asked := r.Method + " " + r.URL.EscapedPath()
	p.mu.Lock()
	p.asked = append(p.asked, asked)
	hook := p.answer
	p.mu.Unlock()
	if r.URL.Path == "/ari/events" {
		p.events(w, r)
		return
	}
	p.mu.Lock()
	code, body := p.rest(r)
	p.mu.Unlock()
	if hook != nil {
		hook(asked)
	}
	write(w, code, body)
}

func message(text string) any { return map[string]string{"message": text} }

func write(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache, no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the other side may be gone
}

// rest answers a request. It is called with the lock held.
func (p *PBX) rest(r *http.Request) (code int, body any) {
	if p.readOnly && r.Method != http.MethodGet {
		return http.StatusForbidden, message("Write access denied")
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/ari/"), "/")
	for i := range parts {
		parts[i], _ = url.PathUnescape(parts[i])
	}
	switch {
	case r.Method == http.MethodGet && len(parts) == 1 && parts[0] == "endpoints":
		return http.StatusOK, p.endpoints()
	case r.Method == http.MethodGet && len(parts) == 1 && parts[0] == "deviceStates":
		all := []any{}
		for name, state := range p.states {
			if strings.HasPrefix(name, "Stasis:") {
				all = append(all, device(name, state))
			}
		}
		return http.StatusOK, all
	case r.Method == http.MethodGet && len(parts) == 2 && parts[0] == "deviceStates":
		return http.StatusOK, device(parts[1], p.state(parts[1]))
	case len(parts) >= 2 && parts[0] == "applications":
		a := p.apps[parts[1]]
		if a == nil {
			return http.StatusNotFound, message("Application not found")
		}
		if r.Method == http.MethodPost && len(parts) == 3 && parts[2] == "subscription" {
			if r.URL.Query().Get("eventSource") != "deviceState:" {
				return http.StatusBadRequest, message("Invalid event source URI scheme")
			}
			a.devices = true
		}
		return http.StatusOK, a.json(parts[1])
	}
	return http.StatusNotFound, message("Resource not found")
}

func device(name, state string) any { return map[string]string{"name": name, "state": state} }

// state is what a device does. It is called with the lock held.
func (p *PBX) state(name string) string {
	if state, ok := p.states[name]; ok {
		return state
	}
	for _, e := range p.lists {
		if e == name {
			return "NOT_INUSE"
		}
	}
	if strings.HasPrefix(name, "Custom:") {
		return "UNKNOWN"
	}
	return "INVALID"
}

func (p *PBX) endpoints() any {
	all := []any{}
	for _, name := range p.lists {
		technology, resource, _ := strings.Cut(name, "/")
		state, channels := "online", []string{}
		switch p.state(name) {
		case "INVALID":
			continue
		case "UNAVAILABLE":
			state = "offline"
		case "NOT_INUSE":
		default:
			channels = []string{"1795300381.2"}
		}
		all = append(all, map[string]any{"technology": technology, "resource": resource, "state": state, "channel_ids": channels})
	}
	return all
}

func (a *app) json(name string) any {
	devices := []string{}
	if a.devices || a.all {
		devices = []string{"__AST_DEVICE_STATE_ALL_TOPIC"}
	}
	return map[string]any{"name": name, "channel_ids": []string{}, "bridge_ids": []string{}, "endpoint_ids": []string{}, "device_names": devices}
}

// events serves a WebSocket.
func (p *PBX) events(w http.ResponseWriter, r *http.Request) {
	name, all := r.URL.Query().Get("app"), r.URL.Query().Get("subscribeAll") == "true"
	if name == "" {
		write(w, http.StatusBadRequest, message("Missing parameter: app"))
		return
	}
	p.mu.Lock() // the app is there before the client knows
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{OnPingReceived: func(ctx context.Context, _ []byte) bool {
		p.halt(ctx)
		return true
	}})
	if err != nil {
		p.mu.Unlock()
		return
	}
	p.sockets[c] = struct{}{}
	a := p.apps[name]
	if a == nil { // only then all events are added
		a = &app{all: all}
		p.apps[name] = a
	} else if a.socket != nil {
		p.say(a, map[string]any{"type": "ApplicationReplaced", "application": name})
	}
	a.socket = c
	p.mu.Unlock()
	for err == nil { // answers pings
		_, _, err = c.Read(r.Context())
	}
	p.mu.Lock()
	delete(p.sockets, c)
	if a.socket == c {
		if a.socket = nil; !a.all && p.apps[name] == a {
			delete(p.apps, name)
		}
	}
	p.mu.Unlock()
	_ = c.CloseNow()
}
