package lines_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/presence/lines"
)

const patience = 30 * time.Second

// feed is a sender over WebSocket.
type feed struct {
	t   testing.TB
	ws  *websocket.Conn
	ctx context.Context
}

func (h *house) connect(header http.Header) (*feed, *http.Response, error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	h.t.Cleanup(cancel)
	ws, resp, err := websocket.Dial(ctx, h.url+lines.Path, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return nil, resp, err
	}
	h.t.Cleanup(func() { _ = ws.CloseNow() })
	ws.SetReadLimit(1 << 20)
	return &feed{h.t, ws, ctx}, resp, nil
}

func signedIn() http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func (h *house) feed() *feed {
	h.t.Helper()
	f, _, err := h.connect(signedIn())
	if err != nil {
		h.t.Fatal(err)
	}
	return f
}

func (f *feed) say(text string) {
	f.t.Helper()
	if err := f.ws.Write(f.ctx, websocket.MessageText, []byte(text)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *feed) hears() string {
	f.t.Helper()
	kind, text, err := f.ws.Read(f.ctx)
	if err != nil || kind != websocket.MessageText {
		f.t.Fatal(kind, err)
	}
	return string(text)
}

// ends waits for the end, and returns why it came.
func (f *feed) ends() websocket.CloseError {
	f.t.Helper()
	for {
		_, _, err := f.ws.Read(f.ctx)
		if gone, ok := errors.AsType[websocket.CloseError](err); ok {
			return gone
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// TestSocket holds what each message is answered, and what counts of it.
func TestSocket(t *testing.T) {
	h := newHouse(t)
	f := h.feed()
	for i, tt := range []struct{ name, message, answer, heard string }{
		{"one", `{"line":"2001","state":"in-call","seq":5}`, `"taken":1,"stale":0,"failed":0}`, "alice 2001 in-call"},
		{"over several rows", "{\n\"line\":\"2001\",\n\"state\":\"idle\",\"seq\":6}", `"taken":1,`, "alice 2001 idle"},
		{"an array", `[{"line":"2001","state":"ringing","seq":7}, {"line":"2002","state":"idle"}]`, `"taken":2,`, "alice 2001 ringing, alice 2002 idle, bob 2002 idle"},
		{"rows", "{\"line\":\"2001\",\"state\":\"in-call\",\"seq\":8}\r\n\n{\"line\":\"2001\",\"state\":\"idle\",\"seq\":9}\n", `"taken":2,`, "alice 2001 in-call, alice 2001 idle"},
		{
			"stale", `[{"line":"2001","state":"held","seq":3},{"line":"2001","state":"held","seq":10}]`,
			`"taken":1,"stale":1,"failed":0,"rows":[{"row":1,"line":"2001","seq":3,"result":"stale","known":{"line":"2001","state":"idle",`, "alice 2001 held",
		},
		{
			"rows that fail", "nonsense\n{\"line\":\"2001\",\"state\":\"idle\",\"seq\":11}\n{\"line\":\"2002\",\"state\":\"busy\",\"seq\":4}",
			`"taken":1,"stale":0,"failed":2,"rows":[{"row":1,"result":"failed","error":"no report`, "alice 2001 idle",
		},
		{"whose seq is told", `{"line":"2002","state":"busy","seq":4}`, `"line":"2002","seq":4,"result":"failed","error":"state is none of`, ""},
		{"no line", `{"state":"idle"}`, `"error":"line is missing"`, ""},
		{"elements that are none", `[1,null,[],"x"]`, `"failed":4,`, ""},
		{"no array", `[{"line":"2001"},`, `"failed":1,`, ""},
		{"an empty array", `[]`, `"taken":0,"stale":0,"failed":0}`, ""},
		{"nothing", " \n ", `"error":"no report"`, ""},
		{"a long row", `{"line":"2001","state":"idle"` + strings.Repeat(" ", 5000) + "}", `"error":"the row is too long"`, ""},
		{"too many", `[` + strings.Repeat(`{"line":"2001","state":"idle"},`, 500) + `{}]`, `"taken":0,"stale":0,"failed":0,"error":"more than 500`, ""},
		{"an unknown question", `{"ask":"users"}`, `"error":"ask is not lines"`, ""},
		{"a question and more", `{"ask":"lines","line":"2001"}`, `"failed":1,`, ""},
	} {
		f.say(tt.message)
		got := f.hears()
		if heard := h.heard(); !strings.HasPrefix(got, fmt.Sprintf(`{"message":%d,`, i+1)) || !strings.Contains(got, tt.answer) || heard != tt.heard {
			t.Errorf("%s: %s, heard %q", tt.name, got, heard)
		}
	}
	if n := h.s.Feeds(); n != 1 {
		t.Errorf("%d feeds", n)
	}
}

// TestSocketAsk has a sender ask what is known, in parts, so that it can compare.
func TestSocketAsk(t *testing.T) {
	h := newHouseOf(t, func(c *lines.Config) { c.MaxLines = 1000 })
	f := h.feed()
	want := 450
	for i := range want {
		f.say(fmt.Sprintf(`{"line":"%d","state":"idle","seq":%d}`, 3000+i, i))
		f.hears()
	}
	f.say(`{"ask":"lines"}`)
	for got, parts := 0, 1; ; parts++ {
		var part struct {
			Message uint64
			Lines   []struct {
				Line, State string
				Seq         int
			}
			More bool
		}
		if err := json.Unmarshal([]byte(f.hears()), &part); err != nil || part.Message != uint64(want)+1 {
			t.Fatal(err, part.Message)
		}
		for _, l := range part.Lines {
			if l.Line != fmt.Sprint(3000+got) || l.Seq != got || l.State != "idle" {
				t.Fatalf("%d: %+v", got, l)
			}
			got++
		}
		if !part.More {
			if got != want || parts != 3 {
				t.Errorf("%d lines in %d parts", got, parts)
			}
			return
		}
	}
}

func TestSocketRefused(t *testing.T) {
	h := newHouseOf(t, func(c *lines.Config) {
		c.AllowOrigin = func(r *http.Request) (string, bool) {
			o := r.Header.Get("Origin")
			return o, o == "" || o == "https://desk.example"
		}
	})
	with := func(name, value string) http.Header { h := signedIn(); h.Set(name, value); return h }
	for _, tt := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"no token", http.Header{}, 401},
		{"wrong token", http.Header{"Authorization": {"Bearer x"}}, 401},
		{"a page of others", with("Origin", "https://evil.example"), 403},
		{"a listed page", with("Origin", "https://desk.example"), 101},
	} {
		_, resp, err := h.connect(tt.header)
		if resp == nil || resp.StatusCode != tt.status || (err == nil) != (tt.status == 101) {
			t.Errorf("%s: %v, %v", tt.name, resp, err)
		}
	}
	if status, text := h.do("GET", lines.Path, token, ""); status != 426 || !strings.Contains(text, "WebSocket") {
		t.Errorf("no WebSocket: %d %s", status, text)
	}
	plain := newHouse(t)
	if _, resp, err := plain.connect(with("Origin", "http://localhost")); err == nil || resp.StatusCode != 403 {
		t.Errorf("a page, where none is allowed: %v", err)
	}
	for range 16 {
		plain.feed()
	}
	if _, resp, err := plain.connect(signedIn()); err == nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %v", err)
	}
	if status, _ := plain.do("POST", lines.Path, token, "{}"); status != 503 {
		t.Errorf("one too many by POST: %d", status)
	}
}

func TestSocketEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(h *house, f *feed)
		code websocket.StatusCode
		why  string
	}{
		{"binary", func(h *house, f *feed) { _ = f.ws.Write(f.ctx, websocket.MessageBinary, []byte("{}")) }, websocket.StatusUnsupportedData, "text"},
		{"a large message", func(h *house, f *feed) { f.say(strings.Repeat(" ", 70<<10)) }, websocket.StatusMessageTooBig, ""},
		{"stop", func(h *house, f *feed) { h.s.Close() }, websocket.StatusGoingAway, "stops"},
		{"another token", func(h *house, f *feed) {
			h.s.SetSettings(lines.Settings{Token: "another", TTL: time.Hour})
			f.say(`{"line":"2001","state":"idle"}`)
		}, websocket.StatusPolicyViolation, "token"},
		{"another token, and silence", func(h *house, f *feed) { h.s.SetSettings(lines.Settings{Token: "another", TTL: time.Hour}) }, websocket.StatusPolicyViolation, "token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouseOf(t, func(c *lines.Config) { c.Ping = 50 * time.Millisecond; c.PingWait = patience })
			f := h.feed()
			tt.do(h, f)
			if gone := f.ends(); gone.Code != tt.code || !strings.Contains(gone.Reason, tt.why) {
				t.Errorf("%v", gone)
			}
			h.s.Wait()
			if h.heard() != "" || h.s.Feeds() != 0 {
				t.Errorf("%d feeds", h.s.Feeds())
			}
		})
	}
}

// TestSocketClosed lets nobody in once the service has been closed.
func TestSocketClosed(t *testing.T) {
	h := newHouse(t)
	h.s.Close()
	if _, resp, err := h.connect(signedIn()); err == nil || resp.StatusCode != 503 {
		t.Errorf("after the end: %v", err)
	}
	h.s.Wait()
}

// raw connects by hand, so that nothing is answered that the test does not answer.
func (h *house) raw() (net.Conn, *bufio.Reader) {
	h.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", lines.Path, token); err != nil {
		h.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		h.t.Fatal(resp, err)
	}
	return conn, in
}

// TestSocketSilent ends the feed of one who does not answer a ping, and keeps that of one
// who does.
func TestSocketSilent(t *testing.T) {
	h := newHouseOf(t, func(c *lines.Config) { c.Ping, c.PingWait = 20*time.Millisecond, 20*time.Millisecond })
	_, in := h.raw()
	data, err := io.ReadAll(in)
	if err != nil || len(data) == 0 || data[0] != 0x89 {
		t.Errorf("%x, %v", data, err)
	}
	wait(t, "its end", func() bool { return h.s.Feeds() == 0 })

	h = newHouseOf(t, func(c *lines.Config) { c.Ping, c.PingWait = 10*time.Millisecond, patience })
	pings := make(chan struct{}, 100)
	ws, _, err := websocket.Dial(t.Context(), h.url+lines.Path, &websocket.DialOptions{
		HTTPHeader: signedIn(), OnPingReceived: func(context.Context, []byte) bool { pings <- struct{}{}; return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	ws.CloseRead(t.Context())
	for range 5 {
		<-pings
	}
	if h.s.Feeds() != 1 {
		t.Error("who answers was sent away")
	}
}

// TestSocketBroken sends what is no WebSocket.
func TestSocketBroken(t *testing.T) {
	h := newHouse(t)
	for name, bytes := range map[string]string{
		"no mask":         "\x81\x02{}",
		"reserved bits":   "\xf1\x80\x00\x00\x00\x00",
		"unknown opcode":  "\x83\x80\x00\x00\x00\x00",
		"a vast frame":    "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
		"negative length": "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
		"cut off":         "\x81\x90\x00\x00",
	} {
		conn, in := h.raw()
		if _, err := io.WriteString(conn, bytes); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, in) // it ends, however
		wait(t, name, func() bool { return h.s.Feeds() == 0 })
	}
	if h.heard() != "" {
		t.Error("something was taken")
	}
}

// FuzzMessage holds that each report of a message is counted and each that is not taken
// is told of, in an answer of bounded size.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		`{"line":"2001","state":"in-call","seq":1}`, "{\"line\":\"2001\",\"state\":\"idle\"}\nx\n", `[{"line":"2001","state":"idle","seq":0},{},null]`,
		`{"ask":"lines"}`, "[[", "\xff\n\x00", "{}{}", "[1]\n[2]",
	} {
		f.Add([]byte(seed))
	}
	h := newHouse(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, answer := h.s.Message(t.Context(), data)
		if !json.Valid(answer) || len(answer) > 4*len(data)+500*2048+1000 {
			t.Fatalf("%d bytes in answer to %d", len(answer), len(data))
		}
		if len(v.Rows) != v.Stale+v.Failed || v.Error != "" && v.Taken+v.Stale+v.Failed > 0 || v.Taken+v.Stale+v.Failed > 500 {
			t.Fatalf("%s", answer)
		}
		for i, r := range v.Rows {
			if r.Row < 1 || i > 0 && r.Row <= v.Rows[i-1].Row || (r.Result == "stale") == (r.Known == nil) {
				t.Fatalf("%s", answer)
			}
		}
		if said := h.heard(); v.Taken == 0 && said != "" {
			t.Fatalf("%s", answer)
		}
	})
}
