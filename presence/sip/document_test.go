package sip_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

const pidfHead = `<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:2001@pbx.example.com">`

var pidfs = []struct {
	name, body string
	want       presence.Line
	err        error
}{
	{"Unified CM off-hook", pidfHead + `<tuple id="a"><status><basic>closed</basic></status><contact>sip:2001@cucm</contact></tuple><dm:person id="p"><r:activities><r:busy/></r:activities></dm:person></presence>`, presence.LineInCall, nil},
	{"Unified CM idle", pidfHead + `<tuple id="a"><status><basic>open</basic></status></tuple></presence>`, presence.LineIdle, nil},
	{"on the phone", pidfHead + `<dm:person id="p"><r:activities><r:on-the-phone/></r:activities></dm:person></presence>`, presence.LineInCall, nil},
	{"Asterisk ringing", pidfHead + `<note>Ringing</note><tuple id="2001"><status><basic>open</basic></status></tuple><pp:person xmlns:pp="x"><status><ep:activities xmlns:ep="y"><ep:busy/></ep:activities></status></pp:person></presence>`, presence.LineRinging, nil},
	{"Asterisk on hold", pidfHead + `<note>On hold</note><r:activities><r:busy/></r:activities></presence>`, presence.LineHeld, nil},
	{"Asterisk ready", pidfHead + `<note>Ready</note><tuple id="2001"><status><basic>open</basic></status></tuple></presence>`, presence.LineIdle, nil},
	{"Asterisk unregistered", pidfHead + `<note>Unavailable</note><r:activities><r:away/></r:activities><tuple id="2001"><status><basic>closed</basic></status></tuple></presence>`, presence.LineUnknown, nil},
	{"closed without activity", pidfHead + `<tuple id="a"><status><basic>closed</basic></status></tuple></presence>`, presence.LineUnknown, nil},
	{"one of two telephones open", pidfHead + `<tuple id="a"><status><basic>closed</basic></status></tuple><tuple id="b"><status><basic>open</basic></status></tuple></presence>`, presence.LineIdle, nil},
	{"empty", pidfHead + `</presence>`, presence.LineUnknown, nil},
	{"another document", `<dialog-info/>`, 0, sip.ErrDocument},
	{"nothing", ``, 0, sip.ErrDocument},
	{"cut short", pidfHead, 0, sip.ErrDocument},
	{"entities", `<!DOCTYPE presence [<!ENTITY a "b">]><presence/>`, 0, sip.ErrDocument},
	{"two roots", `<presence/><presence/>`, 0, sip.ErrDocument},
	{"deep", strings.Repeat("<presence>", 40), 0, sip.ErrTooLarge},
	{"many", pidfHead + strings.Repeat("<a/>", 5000) + `</presence>`, 0, sip.ErrTooLarge},
	{"long", pidfHead + strings.Repeat(" ", sip.MaxBody), 0, sip.ErrTooLarge},
}

func TestPIDF(t *testing.T) {
	for _, tt := range pidfs {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := sip.ParsePIDF([]byte(tt.body))
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if doc.State != tt.want || err == nil && doc.Entity != "sip:2001@pbx.example.com" {
				t.Errorf("%+v, want %v", doc, tt.want)
			}
		})
	}
}

func info(version, state, dialogs string) string {
	return `<?xml version="1.0"?><dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="` + version + `" state="` + state + `" entity="sip:2001@pbx">` + dialogs + `</dialog-info>`
}

func call(id, state string) string {
	return `<dialog id="` + id + `" call-id="` + id + `@pbx" direction="recipient"><state>` + state + `</state></dialog>`
}

const (
	asteriskHold = `<dialog id="2001"><state>confirmed</state><local><target uri="sip:2001@pbx"><param pname="+sip.rendering" pval="no"/></target></local></dialog>`
	remoteHold   = `<dialog id="a" call-id="a"><state>confirmed</state><remote><target uri="sip:9@pbx"><param pname="+sip.rendering" pval="no"/></target></remote></dialog>`
	outgoing     = `<dialog id="a" call-id="a" direction="initiator"><state>%s</state></dialog>`
)

func TestBook(t *testing.T) {
	type step struct {
		body string
		want presence.Line
		gap  bool
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"idle", []step{{info("0", "full", ""), presence.LineIdle, false}}},
		{"a call", []step{
			{info("0", "full", ""), presence.LineIdle, false},
			{info("1", "partial", call("a", "early")), presence.LineRinging, false},
			{info("2", "partial", call("a", "confirmed")), presence.LineInCall, false},
			{info("3", "partial", call("a", "terminated")), presence.LineIdle, false},
		}},
		{"calling somebody is off-hook", []step{{info("0", "full", strings.ReplaceAll(outgoing, "%s", "trying")), presence.LineInCall, false}}},
		{"held", []step{{info("0", "full", asteriskHold), presence.LineHeld, false}}},
		{"the other side holds", []step{{info("0", "full", remoteHold), presence.LineInCall, false}}},
		{"the heaviest counts", []step{{info("0", "full", asteriskHold+call("b", "early")+call("c", "confirmed")), presence.LineInCall, false}}},
		{"a full document replaces all", []step{
			{info("0", "full", call("a", "confirmed")), presence.LineInCall, false},
			{info("1", "full", call("b", "early")), presence.LineRinging, false},
		}},
		{"a gap", []step{
			{info("0", "full", call("a", "confirmed")), presence.LineInCall, false},
			{info("2", "partial", call("a", "terminated")), presence.LineInCall, true},
			{info("3", "partial", call("a", "terminated")), presence.LineInCall, true},
			{info("4", "full", ""), presence.LineIdle, false},
		}},
		{"partial first", []step{{info("0", "partial", call("a", "confirmed")), presence.LineIdle, true}}},
		{"an old document", []step{
			{info("5", "full", ""), presence.LineIdle, false},
			{info("5", "partial", call("a", "confirmed")), presence.LineIdle, false},
			{info("6", "partial", call("a", "confirmed")), presence.LineInCall, false},
		}},
		{"versions that begin anew", []step{
			{info("9", "full", call("a", "confirmed")), presence.LineInCall, false},
			{info("0", "full", ""), presence.LineIdle, false},
		}},
		{"Kamailio: early after terminated", []step{
			{info("0", "full", call("a", "confirmed")), presence.LineInCall, false},
			{info("1", "full", call("a", "terminated")), presence.LineIdle, false},
			{info("2", "full", call("a", "early")), presence.LineIdle, false},
			{info("3", "full", call("b", "early")), presence.LineRinging, false},
		}},
		{"Kamailio: early after confirmed", []step{ // told in disorder by its workers
			{info("0", "full", call("padi-a", "confirmed")), presence.LineInCall, false},
			{info("1", "full", call("padi-a", "early")), presence.LineInCall, false},
			{info("2", "full", call("padi-a", "terminated")), presence.LineIdle, false},
			{info("3", "full", call("padi-a", "early")), presence.LineIdle, false},
		}},
		{"FreeSWITCH: early in place of terminated", []step{
			{info("0", "full", call("a", "confirmed")), presence.LineInCall, false},
			{info("1", "full", call("a", "early")), presence.LineIdle, false},
			{info("2", "full", call("a", "confirmed")), presence.LineIdle, false},
		}},
		{"Asterisk: one id for all calls", []step{
			{info("0", "full", `<dialog id="2001"><state>terminated</state></dialog>`), presence.LineIdle, false},
			{info("1", "full", `<dialog id="2001"><state>early</state></dialog>`), presence.LineRinging, false},
			{info("2", "full", `<dialog id="2001"><state>confirmed</state></dialog>`), presence.LineInCall, false},
			{info("3", "full", `<dialog id="2001"><state>early</state></dialog>`), presence.LineRinging, false},
			{info("4", "full", `<dialog id="2001"><state>terminated</state></dialog>`), presence.LineIdle, false},
			{info("5", "full", `<dialog id="2001" call-id="pickup-x"><state>early</state></dialog>`), presence.LineRinging, false},
			{info("6", "full", `<dialog id="2001" call-id="pickup-x"><state>terminated</state></dialog>`), presence.LineIdle, false},
			{info("7", "full", `<dialog id="2001" call-id="pickup-x"><state>early</state></dialog>`), presence.LineRinging, false},
		}},
		{"a state nobody knows", []step{{info("0", "full", call("a", "confirmed")+call("b", "parked")), presence.LineInCall, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var book sip.Book
			for i, s := range tt.steps {
				doc, err := sip.ParseDialogInfo([]byte(s.body))
				if err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				if err := book.Apply(doc); errors.Is(err, sip.ErrGap) != s.gap {
					t.Errorf("step %d: %v", i, err)
				}
				if got := book.State(); got != s.want {
					t.Errorf("step %d: %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

func TestDialogInfoRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want error
	}{
		"another document": {`<presence/>`, sip.ErrDocument},
		"no version":       {info("", "full", ""), sip.ErrDocument},
		"version below 0":  {info("-1", "full", ""), sip.ErrDocument},
		"no state":         {info("1", "", ""), sip.ErrDocument},
		"no id":            {info("1", "full", "<dialog/>"), sip.ErrDocument},
		"too many":         {info("1", "full", strings.Repeat(`<dialog id="a"><state>early</state></dialog>`, 200)), sip.ErrTooLarge},
	} {
		if _, err := sip.ParseDialogInfo([]byte(tt.body)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestNormalise(t *testing.T) {
	for text, want := range map[string]string{
		"sip:2001@PBX.example.com:5060;transport=tcp": "sip:2001@pbx.example.com",
		"<sips:2001@pbx>;tag=1":                       "sip:2001@pbx",
		"pres:alice@example.com":                      "sip:alice@example.com",
		"sip:Alice@example.com?subject=x":             "sip:Alice@example.com",
		"sip:+49-30-1234;phone-context=x@pbx":         "sip:+49301234@pbx",
		"sip:a:secret@[2001:db8::1]:5060":             "sip:a@[2001:db8::1]",
		"tel:+49(30)123-4;ext=5":                      "tel:+49301234",
		"2001":                                        "tel:2001",
		"alice@example.com":                           "sip:alice@example.com",
		"":                                            "",
		"sip:":                                        "",
		"sip:pbx":                                     "",
		"http://x/y":                                  "",
		"sip:a b@c":                                   "",
		"tel:+":                                       "",
		"sip:@pbx":                                    "",
	} {
		got, err := sip.Normalise(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	if got := sip.Number("sip:2001@pbx"); got != "2001" {
		t.Errorf("number %q", got)
	}
}
