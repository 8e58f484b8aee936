package bosh_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stream"
)

// XEP-0124 §7: what a client may ask for, and what it gets.
func TestCreation(t *testing.T) {
	const to = " to='example.com' ver='1.6'"
	for _, tc := range []struct {
		name, attrs string
		want        []string
		not         []string
	}{
		{
			name: "what is offered", attrs: to + " wait='300' hold='5'",
			want: []string{" wait='55'", " hold='1'", " requests='2'", " inactivity='60'", " polling='5'", " maxpause='300'", " ver='1.6'", " from='example.com'", " charsets='UTF-8'", " accept='gzip,deflate'", " sid='", " authid='"},
			not:  []string{" ack=", " secure=", " stream=", "type="},
		},
		{name: "XMPP", attrs: to, want: []string{" xmlns:xmpp='urn:xmpp:xbosh'", " xmpp:version='1.0'", " xmpp:restartlogic='true'", nsStream, features}},
		{name: "less than offered", attrs: to + " wait='10' hold='0'", want: []string{" wait='10'", " hold='0'"}},
		{name: "exactly what is offered", attrs: to + " wait='55' hold='1'", want: []string{" wait='55'", " hold='1'"}},
		{name: "nothing asked for", attrs: to, want: []string{" wait='55'", " hold='1'"}},
		{name: "polling by wait", attrs: to + " wait='0'", want: []string{" wait='0'", " inactivity='70'"}},
		{name: "polling by hold", attrs: to + " hold='0'", want: []string{" hold='0'", " requests='2'", " inactivity='70'"}},
		{name: "newer than ours", attrs: "to='example.com' ver='1.99'", want: []string{" ver='1.11'"}},
		{name: "minor number of two digits", attrs: "to='example.com' ver='1.10'", want: []string{" ver='1.10'"}},
		{name: "another major number", attrs: "to='example.com' ver='2.0'", want: []string{" ver='1.11'"}},
		{name: "no version", attrs: "to='example.com'", want: []string{" sid='"}, not: []string{" ver='"}},
		{name: "version that is none", attrs: "to='example.com' ver='one'", want: []string{" sid='"}, not: []string{" ver='"}},
		{name: "acknowledgements", attrs: to + " ack='1'", want: []string{" ack='7'"}},
		{name: "secure", attrs: to + " secure='true'", want: []string{" secure='true'"}},
		{name: "route is ignored", attrs: to + " route='xmpp:other.example:9999'", want: []string{" from='example.com'", " sid='"}},
		{name: "attributes nobody knows", attrs: to + " window='3' xmlns:v='urn:x' v:y='z'", want: []string{" sid='"}},
		{name: "malformed wait", attrs: to + " wait='soon'", want: []string{"condition='bad-request'", "wait"}},
		{name: "negative wait", attrs: to + " wait='-1'", want: []string{"condition='bad-request'"}},
		{name: "malformed hold", attrs: to + " hold='1.5'", want: []string{"condition='bad-request'", "hold"}},
		{name: "malformed ack", attrs: to + " ack='yes'", want: []string{"condition='bad-request'", "ack"}},
		{name: "no to", attrs: "ver='1.6'", want: []string{"type='terminate'", "condition='improper-addressing'"}},
		{name: "empty to", attrs: "ver='1.6' to=''", want: []string{"condition='improper-addressing'"}},
		{name: "unknown host", attrs: "ver='1.6' to='other.example'", want: []string{"type='terminate'", "condition='host-unknown'"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			status, body := b.post(t.Context(), "<body rid='7' "+ns+" "+tc.attrs+"/>")
			if status != 200 {
				t.Fatalf("status %d", status)
			}
			wantIn(t, "creation", body, tc.want...)
			for _, no := range tc.not {
				if strings.Contains(body, no) {
					t.Fatalf("%q is in %s", no, body)
				}
			}
			if strings.Contains(body, "condition=") && !strings.Contains(b.log.String(), "session refused") {
				t.Fatal("the log does not say that a session was refused")
			}
		})
	}
}

// Without TLS nothing is secure, whatever a client asks for.
func TestCreationWithoutTLS(t *testing.T) {
	b := newBench(t, bosh.Config{})
	b.plain.Store(true)
	_, body := b.post(t.Context(), "<body rid='7' to='example.com' ver='1.11' secure='true' "+ns+"/>")
	if strings.Contains(body, " secure=") || !strings.Contains(body, " sid='") {
		t.Fatal(body)
	}
}

func TestCreationRID(t *testing.T) {
	for _, tc := range []struct{ name, rid, want string }{
		{"small", "1", " sid='"},
		{"largest", "9007199254740991", " sid='"},
		{"larger than numbers are exact", "9007199254740992", "condition='bad-request'"},
		{"zero", "0", "condition='bad-request'"},
		{"negative", "-5", "condition='bad-request'"},
		{"signed", "+5", "condition='bad-request'"},
		{"no number", "abc", "condition='bad-request'"},
		{"none", "", "condition='bad-request'"},
		{"of 64 bits and more", "99999999999999999999", "condition='bad-request'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			_, body := b.post(t.Context(), "<body rid='"+tc.rid+"' to='example.com' ver='1.11' "+ns+"/>")
			wantIn(t, "creation", body, tc.want)
		})
	}
}

// The domain, the language and who is going to log in reach the session.
func TestCreationOpens(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("from='alice@example.com' xml:lang='de'")
	if want := (session.Opening{To: "example.com", From: "alice@example.com", Lang: "de"}); f.opening != want {
		t.Fatalf("opened with %+v", f.opening)
	}
	if got := f.conn.Info(); got.Transport != "bosh" || !got.Secure {
		t.Fatalf("told about the transport: %+v", got)
	}
}

// A login is a round trip shorter if the first body carries its first step.
func TestCreationWithPayload(t *testing.T) {
	b := newBench(t, bosh.Config{})
	_, body := b.post(t.Context(), "<body rid='7' to='example.com' ver='1.11' "+ns+">"+echo("a")+"</body>")
	wantIn(t, "creation", body, features+"<message id='a'/>")
	_, body = b.post(t.Context(), "<body rid='7' to='example.com' ver='1.11' "+ns+"><x type='fatal'/></body>")
	wantIn(t, "creation", body, "condition='remote-stream-error'", "<invalid-from")
}

// XEP-0124 §17.2: why there is no session.
func TestRefusal(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want []string
	}{
		{"host-unknown", stream.NewError(stream.HostUnknown, ""), []string{"condition='host-unknown'"}},
		{"host-gone", stream.NewError("host-gone", "moved away"), []string{"condition='host-gone'", "moved away"}},
		{"improper-addressing", stream.NewError(stream.ImproperAddressing, ""), []string{"condition='improper-addressing'"}},
		{"internal-server-error", stream.NewError(stream.InternalServerError, ""), []string{"condition='internal-server-error'"}},
		{"an error that is none of the protocol's", errBroken, []string{"condition='internal-server-error'"}},
		{"remote-connection-failed", stream.NewError("remote-connection-failed", ""), []string{"condition='remote-connection-failed'"}},
		{"undefined-condition", stream.NewError(stream.UndefinedCondition, "odd"), []string{"condition='undefined-condition'", ">odd<"}},
		{"system-shutdown", stream.NewError(stream.SystemShutdown, ""), []string{"condition='system-shutdown'"}},
		{"see-other-uri", &stream.Error{Condition: stream.SeeOtherHost, Detail: "https://n2.example.com/bosh?a&b"}, []string{"condition='see-other-uri'", "<uri>https://n2.example.com/bosh?a&amp;b</uri>"}},
		{"another host without an address", &stream.Error{Condition: stream.SeeOtherHost, Detail: "n2.example.com"}, []string{"condition='remote-stream-error'", ">n2.example.com</see-other-host>", nsStream}},
		{"remote-stream-error", stream.NewError(stream.ResourceConstraint, "no room"), []string{"condition='remote-stream-error'", "<resource-constraint", "no room", nsStream}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			b.refuse.Store(tc.err)
			status, body := b.post(t.Context(), "<body rid='7' to='example.com' ver='1.11' "+ns+"/>")
			if status != 200 {
				t.Fatalf("status %d", status)
			}
			wantIn(t, "refusal", body, append(tc.want, "type='terminate'")...)
			if strings.Contains(body, "secret") {
				t.Fatal("the client is told what is for the log")
			}
			if errors.Is(tc.err, errBroken) {
				wantIn(t, "log", b.log.String(), errBroken.Error())
			}
			wantIn(t, "log", b.log.String(), "session refused")
		})
	}
}

var errBroken = errors.New("secret: disk on fire")

// XEP-0124 §17.1: clients of before version 1.6 know codes, not conditions.
func TestLegacyCodes(t *testing.T) {
	newKey := " newkey='" + bosh.KeyHash("k") + "'"
	for _, tc := range []struct {
		name, attrs, body string
		rid               int
		status            int
	}{
		{name: "fine", rid: 101, body: echo("a"), status: 200},
		{name: "rid beyond the window", rid: 150, status: 404},
		{name: "response no longer kept", rid: 50, status: 404},
		{name: "broken key", rid: 101, attrs: "key='x'", status: 404},
		{name: "malformed ack", rid: 101, attrs: "ack='x'", status: 400},
		{name: "malformed pause", rid: 101, attrs: "pause='x'", status: 400},
		{name: "a stream error has no code", rid: 101, body: "<x type='fatal'/>", status: 200},
		{name: "an orderly end has no code", rid: 101, attrs: "type='terminate'", status: 200},
	} {
		for _, ver := range []string{"", "ver='1.5'", "ver='1.6'"} {
			t.Run(tc.name+" "+ver, func(t *testing.T) {
				b := newBench(t, bosh.Config{})
				keys := ""
				if strings.Contains(tc.attrs, "key=") {
					keys = newKey
				}
				_, body := b.post(t.Context(), "<body rid='100' to='example.com' "+ver+keys+" "+ns+"/>")
				wantIn(t, "creation", body, " sid='")
				f := <-b.sess
				status, body := b.post(t.Context(), f.body(tc.rid, tc.attrs, tc.body))
				if ver == "ver='1.6'" {
					tc.status = 200
				}
				if status != tc.status {
					t.Fatalf("status %d, want %d: %s", status, tc.status, body)
				}
				late, _ := b.post(t.Context(), f.body(151, "", ""))
				if strings.Contains(body, "condition='item") && late != tc.status {
					t.Fatalf("a late request gets %d", late)
				}
			})
		}
	}
	t.Run("at the creation", func(t *testing.T) {
		b := newBench(t, bosh.Config{})
		if status, _ := b.post(t.Context(), "<body rid='1' to='example.com' wait='x' "+ns+"/>"); status != 400 {
			t.Fatalf("status %d", status)
		}
		if status, _ := b.post(t.Context(), "<body rid='1' to='other.example' "+ns+"/>"); status != 200 {
			t.Fatalf("host-unknown has no code, but %d", status)
		}
	})
	t.Run("too many requests", func(t *testing.T) {
		b := newBench(t, bosh.Config{})
		_, _ = b.post(t.Context(), "<body rid='100' to='example.com' "+ns+"/>")
		f := <-b.sess
		busy := b.hold(1, f.body(101, "", blocking))
		next := b.hold(2, f.body(102, "", note("b")))
		if status, _ := b.post(t.Context(), f.body(103, "", note("c"))); status != 403 {
			t.Fatalf("status %d", status)
		}
		close(f.gate)
		wantIn(t, "oldest", <-busy, "condition='policy-violation'")
		wantIn(t, "other", <-next, "condition='other-request'")
	})
}

// The id of a session is 128 random bits or more, and never the same.
func TestSessionID(t *testing.T) {
	b := newBench(t, bosh.Config{})
	seen := make(map[string]bool)
	for range 8 {
		f := b.create("")
		if sid := string(f.sid); len(sid) < 128/6 || seen[sid] {
			t.Fatalf("id %q", sid)
		} else {
			seen[sid] = true
		}
		if strings.Contains(b.log.String(), string(f.sid)) {
			t.Fatal("the log has the id itself")
		}
	}
}

func TestRestart(t *testing.T) {
	const result = "<body " + ns + " " + nsStream + ">" + features + "</body>"
	for _, tc := range []struct{ name, attrs, payload, want, got string }{
		{"as of XEP-0206", "xmpp:restart='true' to='example.com' xml:lang='en'", "", result, ""},
		{"the other way to write true", "xmpp:restart='1' to='example.com' xml:lang='en'", "", result, ""},
		{"payload is ignored", "xmpp:restart='true' to='example.com' xml:lang='en'", echo("a"), result, ""},
		{"false", "xmpp:restart='false' to='example.com'", echo("a"), "<message id='a'/>", "a"},
		{"of a namespace of its own", "restart='true'", echo("a"), "<message id='a'/>", "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			f := b.create("")
			_, body := b.post(t.Context(), f.body(101, tc.attrs, tc.payload))
			wantIn(t, "restart", body, tc.want)
			want(t, "received", f.got(), tc.got)
			if tc.got != "" {
				return
			}
			if want := (session.Opening{To: "example.com", Lang: "en"}); len(f.restarts) != 1 || f.restarts[0] != want {
				t.Fatalf("restarted with %+v", f.restarts)
			}
		})
	}
}

// Requests that carry what only the first one should are ordinary requests; 'to'
// would add a stream, which is not offered (XEP-0124 §16.3).
func TestCreationAttributesLater(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	held := b.hold(1, f.body(101, "to='example.com' wait='1' hold='0' ver='1.6' content='text/html'", ""))
	f.write(t, "<x/>")
	want(t, "response", <-held, "<body "+ns+"><x/></body>")
	select {
	case <-b.sess:
		t.Fatal("another session was opened")
	case <-time.After(0):
	}
}
