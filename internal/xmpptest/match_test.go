package xmpptest

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	const full, bare = "bob@example.com/desk", "bob@example.com"
	for _, tt := range []struct{ name, want, got, why string }{
		{"same", `<message id='1'><body>Hi</body></message>`, `<message xmlns='jabber:client' id='1'><body>Hi</body></message>`, ""},
		{"order of attributes", `<message a='1' b='2'/>`, `<message xmlns='jabber:client' b="2" a="1"/>`, ""},
		{"other prefix", `<x xmlns='u:x'><y/></x>`, `<p:x xmlns:p='u:x'><p:y/></p:x>`, ""},
		{"entities", `<message a='&lt;'>&gt;</message>`, `<message xmlns='jabber:client' a='&#60;'><![CDATA[>]]></message>`, ""},
		{"own address", `<message/>`, `<message xmlns='jabber:client' to='bob@example.com/desk'/>`, ""},
		{"own bare address", `<message/>`, `<message xmlns='jabber:client' to='bob@example.com'/>`, ""},
		{"address of another", `<message/>`, `<message xmlns='jabber:client' to='bob@example.com/home'/>`, "unexpected attribute to="},
		{"address that is named", `<message to='bob@example.com'/>`, `<message xmlns='jabber:client' to='bob@example.com/desk'/>`, "attribute to"},
		{"address further in", `<message><x xmlns='jabber:client'/></message>`, `<message xmlns='jabber:client'><x to='bob@example.com'/></message>`, "unexpected attribute to="},
		{"other element", `<message/>`, `<iq xmlns='jabber:client'/>`, "<iq> of jabber:client in place of <message>"},
		{"other namespace", `<message/>`, `<message xmlns='jabber:server'/>`, "<message> of jabber:server"},
		{"no namespace", `<message/>`, `<message/>`, "<message> of  in place"},
		{"attribute missing", `<message id='1'/>`, `<message xmlns='jabber:client'/>`, "no attribute id"},
		{"attribute too many", `<message/>`, `<message xmlns='jabber:client' id='1'/>`, "unexpected attribute id='1'"},
		{"attributes not listed", `<message id='1' ... />`, `<message xmlns='jabber:client' id='1' type='chat'/>`, ""},
		{"any value", `<message id='*'/>`, `<message xmlns='jabber:client' id='x'/>`, ""},
		{"part of a value", `<message id='a*c'/>`, `<message xmlns='jabber:client' id='abbc'/>`, ""},
		{"part of another value", `<message id='a*c'/>`, `<message xmlns='jabber:client' id='abb'/>`, "attribute id"},
		{"nothing special", `<message id='a.c'/>`, `<message xmlns='jabber:client' id='abc'/>`, "attribute id"},
		{"text", `<message>a</message>`, `<message xmlns='jabber:client'>b</message>`, `"b" in place of "a"`},
		{"text too much", `<message/>`, `<message xmlns='jabber:client'>b</message>`, "text"},
		{"layout", "<message>\n <a/>\n</message>", `<message xmlns='jabber:client'><a/></message>`, ""},
		{"layout that counts", "<message> a </message>", `<message xmlns='jabber:client'>a</message>`, "text"},
		{"child missing", `<message><a/><b/></message>`, `<message xmlns='jabber:client'><a/></message>`, "no <b/>"},
		{"child too many", `<message><a/></message>`, `<message xmlns='jabber:client'><a/><b/></message>`, "unexpected <b/>"},
		{"age of presence", `<presence/>`, `<presence xmlns='jabber:client'><delay xmlns='urn:xmpp:delay'/></presence>`, ""},
		{"order of children", `<message><a/><b/></message>`, `<message xmlns='jabber:client'><b/><a/></message>`, "<b> of jabber:client in place of <a>"},
		{"children not listed", `<message><b/>...</message>`, `<message xmlns='jabber:client'><a/><b/><c/></message>`, ""},
		{"not even among others", `<message><b i='1'/>...</message>`, `<message xmlns='jabber:client'><a/><b i='2'/></message>`, `attribute i: "2" in place of "1"`},
		{"anything inside", `<message>...</message>`, `<message xmlns='jabber:client'>text</message>`, ""},
		{"kept", `<message id='{known}'/>`, `<message xmlns='jabber:client' id='42'/>`, ""},
		{"not what was kept", `<message id='{known}'/>`, `<message xmlns='jabber:client' id='43'/>`, `"43" in place of "42"`},
		{"kept by the same", `<message a='{x}' b='{x}'/>`, `<message xmlns='jabber:client' a='1' b='2'/>`, `in place of`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, err := parsePatterns(tt.want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parse(tt.got, "")
			if err != nil {
				t.Fatal(err)
			}
			m := &matcher{vars: map[string]string{"known": "42"}, full: full, bare: bare}
			err = m.match(want[0], got[0])
			if tt.why == "" && err != nil || tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)) {
				t.Fatalf("got %v, want %q", err, tt.why)
			}
		})
	}
}

func TestKept(t *testing.T) {
	want, err := parsePatterns(`<iq id='push-{id}'><query ver='{v1}'/></iq>`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(`<iq xmlns='jabber:client' id='push-7'><query ver='12'/></iq>`, "")
	if err != nil {
		t.Fatal(err)
	}
	p := &player{vars: make(map[string]string)}
	if err := p.matcher(&client{}).match(want[0], got[0]); err != nil {
		t.Fatal(err)
	}
	const text = `<a i='{id}' v='{v1}' u='{unknown}'>{repeat:3:ab} {plain:bob:pw} *</a>`
	if s := p.fill(text); s != `<a i='7' v='12' u='{unknown}'>ababab AGJvYgBwdw== *</a>` {
		t.Fatalf("filled %s", s)
	}
}

func TestParseIsStrict(t *testing.T) {
	for _, tt := range []struct{ name, xml string }{
		{"not closed", "<a>"},
		{"crossed", "<a><b></a></b>"},
		{"comment", "<a><!-- --></a>"},
		{"processing instruction", "<?xml version='1.0'?><a/>"},
		{"document type", "<!DOCTYPE a><a/>"},
		{"entity", "<a>&nbsp;</a>"},
		{"prefix of an element", "<p:a/>"},
		{"prefix of an attribute", "<a p:b='1'/>"},
		{"prefix out of scope", "<a><p:b xmlns:p='u:p'/><p:c/></a>"},
		{"attribute twice", "<a b='1' b='2'/>"},
		{"attribute twice by namespace", "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>"},
		{"text outside", "<a/>text"},
		{"bad character", "<a>\x01</a>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if found, err := parse(tt.xml, ""); err == nil {
				t.Fatalf("accepted: %v", found)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"one", "<message/>", "<message xmlns='jabber:client'/>"},
		{"two", " <a x='>'>\n <b/></a>\n<iq xmlns='u'/> ", "<a xmlns='jabber:client' x='>'>\n <b/></a>|<iq xmlns='u'/>"},
		{"prefix", "<p:a xmlns:p='u'/>", "<p:a xmlns:p='u'/>"},
		{"namespace further in", "<a><b xmlns='u'/></a>", "<a xmlns='jabber:client'><b xmlns='u'/></a>"},
		{"not well-formed", "<a/><b><c></b>", "<a xmlns='jabber:client'/>|<b xmlns='jabber:client'><c></b>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(split(tt.text), "|"); got != tt.want {
				t.Fatalf("got %s", got)
			}
		})
	}
}

func TestParse(t *testing.T) {
	s, err := Parse("x", `
# A comment.
alice/phone#2 over websocket signs in with 'a b'
bob sends <message>
  # Another one.
  <body/>
  </message>
bob gets in any order <a/><b/>
the server restarts
`)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.statements) != 4 {
		t.Fatalf("%d statements", len(s.statements))
	}
	if st := s.statements[0]; st.line != 3 || st.who != "alice/phone#2" || st.door != WebSocket || st.verb != signsIn || st.password != "a b" {
		t.Errorf("first: %+v", st)
	}
	if st := s.statements[1]; st.text != "<message>\n  <body/>\n  </message>" {
		t.Errorf("second: %q", st.text)
	}
	if st := s.statements[2]; st.verb != getsAnyOrder || len(st.elements) != 2 {
		t.Errorf("third: %+v", st)
	}
	for name, text := range map[string]string{
		"no verb":         "alice",
		"unknown verb":    "alice dances",
		"unknown door":    "alice over telnet signs in",
		"nothing is sent": "alice sends",
		"no XML":          "alice gets <a>",
		"no element":      "alice gets nothing at all",
	} {
		if _, err := Parse(name, "\n"+text); err == nil || !strings.HasPrefix(err.Error(), name+":2:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
