package stanza_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)
	for _, tc := range []struct{ name, in, condition string }{
		{"empty", "", "not-well-formed"},
		{"html error page", "<!DOCTYPE html><html><body>504</body></html>", "restricted-xml"},
		{"plain text", "hello", "not-well-formed"},
		{"json", `{"a":1}`, "not-well-formed"},
		{"document type", "<!DOCTYPE a [<!ENTITY x 'y'>]><message/>", "restricted-xml"},
		{"comment before", "<!-- --><message/>", "restricted-xml"},
		{"comment inside", "<message><!-- x --></message>", "restricted-xml"},
		{"processing instruction", "<message><?php x ?></message>", "restricted-xml"},
		{"unknown entity", "<message><body>&nbsp;</body></message>", "restricted-xml"},
		{"billion laughs", "<message><body>&lol9;</body></message>", "restricted-xml"},
		{"character reference to nul", "<message><body>&#0;</body></message>", "restricted-xml"},
		{"unclosed", "<message><body>", "not-well-formed"},
		{"crossed", "<message><a><b></a></b></message>", "not-well-formed"},
		{"two roots", "<message/><message/>", "not-well-formed"},
		{"bare ampersand", "<message><body>a & b</body></message>", "restricted-xml"},
		{"control character", "<message><body>\x01</body></message>", "not-well-formed"},
		{"bad utf-8", "<message><body>\xff</body></message>", "not-well-formed"},
		{"repeated attribute", "<message to='a' to='b'/>", "not-well-formed"},
		{"repeated expanded attribute", "<m xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/>", "not-well-formed"},
		{"undeclared prefix", "<x:message/>", "not-well-formed"},
		{"undeclared attribute prefix", "<message x:y='1'/>", "not-well-formed"},
		{"declaration of xmlns", "<message xmlns:xmlns='x'/>", "not-well-formed"},
		{"lt in attribute", "<message to='<'/>", "not-well-formed"},
		{"no quotes", "<message to=a/>", "not-well-formed"},
		{"no space between attributes", "<message a='1'b='2'/>", "not-well-formed"},
		{"cdata end in text", "<message>]]></message>", "not-well-formed"},
		{"too deep", "<message>" + deep + "</message>", "policy-violation"},
		{"too large", "<message>" + strings.Repeat("x", 70<<10) + "</message>", "policy-violation"},
		{"too many attributes", "<message" + manyAttrs(65) + "/>", "policy-violation"},
		{"utf-16", "\xff\xfe<\x00a\x00/\x00>\x00", "not-well-formed"},
		{"tag end in name", "<a:/>", "not-well-formed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := stanza.ParseFrame([]byte(tc.in), stanza.Limits{})
			var syntax *stanza.SyntaxError
			if !errors.As(err, &syntax) || syntax.Condition != tc.condition {
				t.Fatalf("got %v, want %s", err, tc.condition)
			}
		})
	}
}

func manyAttrs(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" a" + strings.Repeat("x", i) + "='1'")
	}
	return b.String()
}

func TestBodyStanzas(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{
			"own namespace",
			`<body rid='1' xmlns='http://jabber.org/protocol/httpbind'><message xmlns='jabber:client' to='b@x' type='chat' id='1'><body>hi &amp; bye</body></message></body>`,
			`<message xmlns='jabber:client' to='b@x' type='chat' id='1'><body>hi &amp; bye</body></message>`,
		},
		{
			"namespace of the body left in force",
			`<body xmlns='http://jabber.org/protocol/httpbind'><message to='b@x'><body>hi</body></message></body>`,
			`<message xmlns='jabber:client' to='b@x'><body>hi</body></message>`,
		},
		{
			"prefix declared on the body",
			`<body xmlns='http://jabber.org/protocol/httpbind' xmlns:x='urn:x'><message xmlns='jabber:client'><x:y a='1'/><z x:b='2'/></message></body>`,
			`<message xmlns='jabber:client'><x:y xmlns:x='urn:x' a='1'/><z xmlns:x='urn:x' x:b='2'/></message>`,
		},
		{
			"prefixed stanza",
			`<body xmlns='http://jabber.org/protocol/httpbind' xmlns:c='jabber:client'><c:message><c:body>x</c:body></c:message></body>`,
			`<message xmlns='jabber:client'><c:body xmlns:c='jabber:client' xmlns='http://jabber.org/protocol/httpbind'>x</c:body></message>`,
		},
		{
			"unknown attributes kept",
			`<body xmlns='http://jabber.org/protocol/httpbind'><message xmlns='jabber:client' q='"' xmlns:e='urn:e' e:f='g' xml:lang='de'/></body>`,
			`<message xmlns='jabber:client' xml:lang='de' q='&quot;' xmlns:x11='urn:e' x11:f='g'/>`,
		},
		{
			"cdata and deep content untouched",
			`<body xmlns='http://jabber.org/protocol/httpbind'><presence xmlns='jabber:client'><x xmlns='u'><a><b><c/></b></a><![CDATA[<&>]]></x></presence></body>`,
			`<presence xmlns='jabber:client'><x xmlns='u'><a><b><c/></b></a><![CDATA[<&>]]></x></presence>`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, err := stanza.ParseBody([]byte(tc.body), stanza.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			st, err := n.Children[0].Stanza()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(st.AppendXML(nil)); !strings.HasPrefix(got, tc.want[:10]) || got != tc.want {
				t.Fatalf("got  %s\nwant %s", got, tc.want)
			}
			if _, err := stanza.Decode(st.AppendXML(nil)); err != nil {
				t.Fatalf("own encoding refused: %v", err)
			}
		})
	}
}

func TestAccessors(t *testing.T) {
	n, err := stanza.ParseFrame([]byte(`<iq xmlns='jabber:client' type='set' id='a"b' to='x@y/z' from='q@y'><query xmlns='jabber:iq:roster'><item jid='a@b' name='A &lt; B'><group>G</group></item></query><note>a&#x21;<b>no</b><![CDATA[&]]></note></iq>`), stanza.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := n.Stanza()
	if err != nil {
		t.Fatal(err)
	}
	if st.Kind != stanza.KindIQ || st.Type != "set" || st.ID != `a"b` || st.To != jid.MustParse("x@y/z") || len(st.Children) != 2 {
		t.Fatalf("%+v", st)
	}
	if got := st.ChildText(stanza.NSClient, "note"); got != "a!&" {
		t.Fatalf("ChildText = %q", got)
	}
	p, _ := st.Payload()
	el, err := st.Element(p)
	if err != nil || el.SelectElement("item").SelectAttrValue("name", "") != "A < B" || el.FindElement("item/group").Text() != "G" {
		t.Fatalf("Element: %v", err)
	}
	if el, err := n.Element(); err != nil || el.Tag != "iq" || el.SelectAttrValue("id", "") != `a"b` {
		t.Fatalf("Node.Element: %v", err)
	}
	reply := st.ErrorReply(stanza.ErrItemNotFound())
	if reply.To != st.From || reply.From != st.To || reply.ErrorReply(stanza.ErrItemNotFound()) != nil {
		t.Fatalf("reply %+v", reply)
	}
}

func TestMalformedAddressIsAnswerable(t *testing.T) {
	n, err := stanza.ParseFrame([]byte(`<message xmlns='jabber:client' to='@@' id='7'/>`), stanza.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := n.Stanza()
	var e *stanza.Error
	if !errors.As(err, &e) || e.Condition != "jid-malformed" || st == nil || st.ID != "7" {
		t.Fatalf("%v %v", st, err)
	}
}

func TestAppendEscaped(t *testing.T) {
	if got := string(stanza.AppendEscaped(nil, "a<b>&'\"\n\x01\xff\ufffeé")); got != "a&lt;b&gt;&amp;&apos;&quot;&#xA;\ufffd\ufffd\ufffdé" {
		t.Fatal(got)
	}
}

func ascii(data []byte) bool {
	return !slices.ContainsFunc(data, func(c byte) bool { return c >= utf8.RuneSelf })
}

// FuzzParse holds the scanner against encoding/xml: what it accepts, the
// standard parser must accept too, and its own encoding must read back the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`<body xmlns='http://jabber.org/protocol/httpbind' rid='1'><message xmlns='jabber:client' to='a@b'><body>x</body></message></body>`,
		`<iq xmlns='jabber:client' type='get'><q xmlns='u' xmlns:p='v' p:a='&#65;'/></iq>`,
		`<c:presence xmlns:c='jabber:client'><c:show>away</c:show><d/></c:presence>`, `<message><![CDATA[x]]></message>`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := stanza.ParseBody(bytes.Clone(data), stanza.Limits{})
		if err != nil {
			return
		}
		d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
		d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				// encoding/xml has the names of XML 1.0's fourth edition, which
				// are fewer than those of the fifth.
				if text := err.Error(); strings.Contains(text, "unsupported version") || strings.Contains(text, "invalid XML name") && !ascii(data) {
					return
				}
				t.Fatalf("accepted what encoding/xml refuses: %v", err)
			}
		}
		for i := range n.Children {
			st, err := n.Children[i].Stanza()
			if err != nil {
				continue
			}
			first := st.AppendXML(nil)
			again, err := stanza.Decode(bytes.Clone(first))
			if err != nil {
				t.Fatalf("own encoding %q refused: %v", first, err)
			}
			if second := again.AppendXML(nil); again.To != st.To || again.ID != st.ID || len(again.Children) != len(st.Children) || !bytes.Equal(again.Inner, st.Inner) {
				t.Fatalf("%q became %q", first, second)
			}
			for j := range st.Children {
				if st.Children[j] != again.Children[j] {
					t.Fatalf("child %d: %v, then %v", j, st.Children[j], again.Children[j])
				}
			}
		}
	})
}

func BenchmarkParseBody_Chat(b *testing.B) {
	data := []byte(`<body rid='4242' sid='c29tZXNpZHNvbWVzaWQ' xmlns='http://jabber.org/protocol/httpbind'><message xmlns='jabber:client' to='bob@example.com' type='chat' id='m42'><body>How are you today, my friend?</body><active xmlns='http://jabber.org/protocol/chatstates'/></message></body>`)
	b.ReportAllocs()
	for b.Loop() {
		n, err := stanza.ParseBody(data, stanza.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := n.Children[0].Stanza(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendXML_Chat(b *testing.B) {
	st := stanza.New(stanza.KindMessage, "chat", []byte(`<body>How are you today, my friend?</body><active xmlns='http://jabber.org/protocol/chatstates'/>`))
	st.From, st.To, st.ID = jid.MustParse("alice@example.com/desk"), jid.MustParse("bob@example.com"), "m42"
	b.ReportAllocs()
	for b.Loop() {
		if len(st.AppendXML(nil)) == 0 {
			b.Fatal()
		}
	}
}
