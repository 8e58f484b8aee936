package vcard_test

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/vcard"
	"github.com/deskline/deskline/xmpp/jid"
)

type everybody map[string]people.Person

func (e everybody) Person(bare jid.JID) (people.Person, bool) {
	p, ok := e[bare.String()]
	p.JID = bare
	return p, ok
}

// album has pictures.
type album struct {
	mu    sync.Mutex
	asked int
	data  []byte
	err   error
	hangs bool
}

func (a *album) Photo(ctx context.Context, _ people.Person) (string, []byte, error) {
	a.mu.Lock()
	a.asked++
	data, err, hangs := a.data, a.err, a.hangs
	a.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return "", nil, ctx.Err()
	}
	return "text/html", data, err
}

func (a *album) set(data []byte, err error, hangs bool) (asked int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked = a.asked
	a.asked, a.data, a.err, a.hangs = 0, data, err, hangs
	return asked
}

func directory(domain string) bool { return domain == "dir.example" }

var known = everybody{
	"anna@dir.example": {
		Name: "Anna <Archer", Given: "Anna", Family: "<Archer", Mail: []string{"a@corp.example", "b@corp.example"}, Phones: []string{"+49 30 1"},
		Title: "Agent", Company: "Corp", Department: "Sales", Photo: true,
	},
	"nameless@dir.example": {},
	"ben@example.com":      {Name: "Ben"},
	"bare@example.com":     {},
}

const annasCard = "<vCard xmlns='vcard-temp'><FN>Anna &lt;Archer</FN><N><FAMILY>&lt;Archer</FAMILY><GIVEN>Anna</GIVEN></N>" +
	"%s<TEL><WORK/><VOICE/><NUMBER>+49 30 1</NUMBER></TEL>" +
	"<EMAIL><INTERNET/><PREF/><USERID>a@corp.example</USERID></EMAIL><EMAIL><INTERNET/><USERID>b@corp.example</USERID></EMAIL>" +
	"<JABBERID>anna@dir.example</JABBERID><TITLE>Agent</TITLE><ORG><ORGNAME>Corp</ORGNAME><ORGUNIT>Sales</ORGUNIT></ORG></vCard>"

func TestMade(t *testing.T) {
	const own = "<vCard xmlns='vcard-temp'><FN>Benny</FN></vCard>"
	for _, tt := range []struct{ name, from, owner, typ, stored, want, condition string }{
		{name: "of the directory", from: "bob@dir.example/x", owner: "anna@dir.example", want: fmt.Sprintf(annasCard, "")},
		{name: "one's own", from: "anna@dir.example/x", owner: "anna@dir.example", want: fmt.Sprintf(annasCard, "")},
		{name: "what was stored before there was a directory", from: "bob@dir.example/x", owner: "anna@dir.example", stored: own, want: fmt.Sprintf(annasCard, "")},
		{name: "nothing but an address", from: "bob@dir.example/x", owner: "nameless@dir.example", want: "<vCard xmlns='vcard-temp'><FN>nameless</FN><JABBERID>nameless@dir.example</JABBERID></vCard>"},
		{name: "not to be seen", from: "bob@example.com/x", owner: "anna@dir.example", condition: "service-unavailable"},
		{name: "not in the directory", from: "bob@dir.example/x", owner: "nobody@dir.example", condition: "service-unavailable"},
		{name: "not in it oneself", from: "nobody@dir.example/x", owner: "nobody@dir.example", condition: "item-not-found"},
		{name: "set in the directory", from: "anna@dir.example/x", owner: "anna@dir.example", typ: "set", condition: "not-allowed"},
		{name: "set another's", from: "bob@dir.example/x", owner: "anna@dir.example", typ: "set", condition: "forbidden"},
		{name: "local", from: "bob@example.com/x", owner: "ben@example.com", want: "<vCard xmlns='vcard-temp'><FN>Ben</FN><JABBERID>ben@example.com</JABBERID></vCard>"},
		{name: "local, from elsewhere", from: "bob@example.net/x", owner: "ben@example.com", condition: "service-unavailable"},
		{name: "local with a card", from: "bob@example.net/x", owner: "ben@example.com", stored: own, want: own},
		{name: "local, nothing known", from: "bare@example.com/x", owner: "bare@example.com", condition: "item-not-found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := &memory{}
			if tt.stored != "" {
				store.card = []byte(tt.stored)
			}
			get, set := vcard.HandlersOf(vcard.New(vcard.Config{Store: store, People: known, Directory: directory}))
			h, typ := get, "get"
			if tt.typ == "set" {
				h, typ = set, "set"
			}
			reply, err := h(t.Context(), ask(t, tt.from, tt.owner, typ, "<vCard xmlns='vcard-temp'/>"))
			if condition(err) != tt.condition || err == nil && string(reply) != tt.want {
				t.Errorf("reply %s, error %v", reply, err)
			}
		})
	}
}

// Pictures are kept for a while; what is none is not shown, and a directory that
// fails is left alone for a while.
func TestPhotos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := &album{}
		get, _ := vcard.HandlersOf(vcard.New(vcard.Config{Store: &memory{}, People: known, Directory: directory, Photos: from}))
		picture := []byte("\xff\xd8\xff\xe0 a picture")
		step := func(name string, wait time.Duration, want []byte, mime string, asked int) {
			t.Helper()
			time.Sleep(wait)
			begun := time.Now()
			reply, err := get(t.Context(), ask(t, "bob@dir.example/x", "anna@dir.example", "get", "<vCard xmlns='vcard-temp'/>"))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			photo := ""
			if want != nil {
				photo = "<PHOTO><TYPE>" + mime + "</TYPE><BINVAL>" + base64.StdEncoding.EncodeToString(want) + "</BINVAL></PHOTO>"
			}
			if string(reply) != fmt.Sprintf(annasCard, photo) {
				t.Fatalf("%s: %s", name, reply)
			}
			if took := time.Since(begun); took > time.Second {
				t.Fatalf("%s: took %s", name, took)
			}
			if n := from.set(from.data, from.err, from.hangs); n != asked {
				t.Fatalf("%s: asked %d times, want %d", name, n, asked)
			}
		}
		from.set(picture, nil, false)
		step("asked for", 0, picture, "image/jpeg", 1)
		from.set([]byte("\x89PNG\r\n\x1a\n"), nil, false)
		step("kept", 50*time.Minute, picture, "image/jpeg", 0)
		step("kept no longer", 20*time.Minute, from.data, "image/png", 1)
		from.set(nil, nil, true)
		step("hangs", 2*time.Hour, nil, "", 1)
		step("is left alone", time.Second, nil, "", 0)
		from.set([]byte("<html>"), nil, false)
		step("no picture", time.Minute, nil, "", 1)
		step("still none", time.Minute, nil, "", 0)
		from.set(nil, errors.New("torn"), false)
		step("fails", time.Hour, nil, "", 1)
		from.set(append(picture, make([]byte, 60<<10)...), nil, false)
		step("does not fit", time.Minute, nil, "", 1)
	})
}

// At most a few ask a directory that hangs at a time.
func TestPhotosBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := &album{hangs: true}
		get, _ := vcard.HandlersOf(vcard.New(vcard.Config{Store: &memory{}, People: known, Directory: directory, Photos: from}))
		var all sync.WaitGroup
		for range 50 {
			req := ask(t, "bob@dir.example/x", "anna@dir.example", "get", "<vCard xmlns='vcard-temp'/>")
			all.Go(func() {
				if _, err := get(t.Context(), req); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := from.set(nil, nil, false); n != 4 {
			t.Errorf("%d asked", n)
		}
	})
}

// Whatever a directory says, the vCard is XML.
func FuzzMade(f *testing.F) {
	f.Add("Anna <&", "\x00\xff", "]]>", []byte("\xff\xd8\xff"))
	f.Fuzz(func(t *testing.T, name, mail, phone string, data []byte) {
		p := people.Person{Name: name, Given: phone, Mail: []string{mail}, Phones: []string{phone}, Title: mail, Photo: true}
		get, _ := vcard.HandlersOf(vcard.New(vcard.Config{Store: &memory{}, People: everybody{"a@dir.example": p}, Directory: directory, Photos: &album{data: data}}))
		reply, err := get(t.Context(), ask(t, "a@dir.example/x", "a@dir.example", "get", "<vCard xmlns='vcard-temp'/>"))
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(strings.NewReader(string(reply))); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("%v: %s", err, reply)
			}
		}
	})
}
