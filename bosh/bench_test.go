package bosh_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// mute is a session that takes all and says what it is told to.
type mute struct {
	conn session.Conn
	sid  router.SID
	say  []session.Frame // to each element
}

func (m *mute) SID() router.SID                                 { return m.sid }
func (*mute) JID() jid.JID                                      { return jid.JID{} }
func (*mute) Authenticated() bool                               { return true }
func (*mute) Features() []byte                                  { return nil }
func (*mute) Restart(context.Context, session.Opening) error    { return nil }
func (*mute) Ended(context.Context, string, []session.Frame)    {}
func (*mute) AppendState(dst []byte) ([]byte, bool)             { return dst, false }
func (*mute) Freeze()                                           {}
func (m *mute) Receive(_ context.Context, _ *stanza.Node) error { return m.conn.Write(m.say...) }

// open returns a door with one session.
func open(b *testing.B, say ...session.Frame) (*bosh.Handler, *mute) {
	m := &mute{sid: router.NewSID(), say: say}
	h := bosh.New(bosh.Config{Open: func(_ context.Context, c session.Conn, _ session.Opening) (bosh.Session, error) {
		m.conn = c
		return m, nil
	}})
	r, ok := h.Serve(b.Context(), &bosh.Request{Body: []byte("<body rid='1000000' to='example.com' ver='1.11' wait='50' hold='1' " + ns + "/>")})
	if !ok || r.Status != 200 {
		b.Fatal(string(r.Body))
	}
	b.Cleanup(func() { _ = h.Shutdown(context.Background()) })
	return h, m
}

// bodies makes requests of a session; each call returns the next, in bytes of
// its own as an engine hands them over.
func (m *mute) bodies(payload string) func() []byte {
	head, rid := []byte("<body xmlns='http://jabber.org/protocol/httpbind' sid='"+string(m.sid)+"' rid='"), uint64(1000000)
	tail := "'>" + payload + "</body>"
	return func() []byte {
		rid++
		out := make([]byte, 0, len(head)+len(tail)+16)
		return append(strconv.AppendUint(append(out, head...), rid, 10), tail...)
	}
}

const hello = "<message xmlns='jabber:client' to='bob@example.com/desk' type='chat' id='1'><body>Could you take the caller on line two?</body></message>"

func frame() session.Frame {
	st := stanza.New(stanza.KindMessage, "chat", []byte("<body>Could you take the caller on line two?</body>"))
	st.ID, st.From, st.To = "1", jid.MustParse("alice@example.com/desk"), jid.MustParse("bob@example.com/desk")
	return session.Frame{Bytes: st.AppendXML(nil), Stanza: st}
}

// BenchmarkWindow is the cycle of one request through the window.
func BenchmarkWindow(b *testing.B) {
	w, rid := opened(params(), 10), uint64(10)
	body, frames := []byte("<body>x</body>"), []session.Frame{frame()}
	now := start
	b.ReportAllocs()
	for b.Loop() {
		rid++
		now = now.Add(time.Second)
		w.Accept(bosh.Arrival{RID: rid}, now)
		a, _ := w.Turn()
		w.Done(a.RID)
		w.Oldest()
		w.Answer(body, frames, now)
	}
}

// taker is a Waiter that lets the benchmark go on.
type taker chan bosh.Response

func (ch taker) Respond(r bosh.Response) { ch <- r }

// BenchmarkEcho is one message in and one response with one message out.
func BenchmarkEcho(b *testing.B) {
	h, m := open(b, frame())
	next, to := m.bodies(hello), make(taker, 1)
	b.ReportAllocs()
	for b.Loop() {
		h.Handle(&bosh.Request{Body: next()}, to)
		<-to
	}
}

// BenchmarkDeliver is one empty request that is held, and the message that it
// is answered with.
func BenchmarkDeliver(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("%dMessages", n), func(b *testing.B) {
			h, m := open(b)
			next, to := m.bodies(""), make(taker, 1)
			frames := make([]session.Frame, n)
			for i := range frames {
				frames[i] = frame()
			}
			b.ReportAllocs()
			for b.Loop() {
				h.Handle(&bosh.Request{Body: next()}, to)
				if err := m.conn.Write(frames...); err != nil {
					b.Fatal(err)
				}
				<-to
			}
		})
	}
}

// sink is an http.ResponseWriter that costs nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

// BenchmarkServeHTTP is an echo with what net/http's handler does around it.
func BenchmarkServeHTTP(b *testing.B) {
	h, m := open(b, frame())
	next := m.bodies(hello)
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/"}, Header: http.Header{"Content-Type": {"text/xml"}}, RemoteAddr: "127.0.0.1:1"}
	w := &sink{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		body := next()
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

// BenchmarkCompress is the packing of a response of some kilobytes.
func BenchmarkCompress(b *testing.B) {
	for _, coding := range []string{"gzip", "deflate"} {
		b.Run(coding, func(b *testing.B) {
			h := bosh.New(bosh.Config{Compress: 1})
			body := []byte(strings.Repeat(hello, 30))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, got := h.Pack(coding, body); got != coding {
					b.Fatal(got)
				}
			}
		})
	}
}

// BenchmarkRecord is a window written down and read back.
func BenchmarkRecord(b *testing.B) {
	w := opened(params(), 10)
	w.Accept(bosh.Arrival{RID: 11}, start)
	process(w)
	w.Answer([]byte("<body "+ns+">"+hello+"</body>"), []session.Frame{frame()}, start)
	var data []byte
	b.ReportAllocs()
	for b.Loop() {
		data, _ = w.AppendBinary(data[:0]) // never fails
		if _, err := bosh.ReadWindow(data, start); err != nil {
			b.Fatal(err)
		}
	}
}
