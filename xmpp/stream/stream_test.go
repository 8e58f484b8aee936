package stream_test

import (
	"testing"

	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

func TestError(t *testing.T) {
	const (
		start = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>"
		ns    = " xmlns='urn:ietf:params:xml:ns:xmpp-streams'"
		end   = "</stream:error>"
	)
	for _, tt := range []struct {
		name      string
		err       *stream.Error
		xml, text string
	}{
		{"condition alone", stream.NewError(stream.Conflict, ""), "<conflict" + ns + "/>", "conflict"},
		{"with a text", stream.NewError(stream.PolicyViolation, "too <much>"), "<policy-violation" + ns + "/><text" + ns + " xml:lang='en'>too &lt;much&gt;</text>", "policy-violation: too <much>"},
		{"with content", &stream.Error{Condition: stream.SeeOtherHost, Detail: "n2.example.com:5222 & more"}, "<see-other-host" + ns + ">n2.example.com:5222 &amp; more</see-other-host>", "see-other-host"},
		{"of an application", &stream.Error{Condition: stream.UndefinedCondition, App: stanza.Name{Space: "u:x'y", Local: "moved"}}, "<undefined-condition" + ns + "/><moved xmlns='u:x&apos;y'/>", "undefined-condition"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := string(tt.err.AppendXML([]byte("before")))
			if got != "before"+start+tt.xml+end || tt.err.Error() != tt.text {
				t.Fatalf("%s, %s", got, tt.err)
			}
			n, err := stanza.ParseFrame([]byte(got[len("before"):]), stanza.Limits{})
			if err != nil || n.Name != (stanza.Name{Space: stream.NS, Local: "error"}) || len(n.Children) == 0 || n.Children[0].Name != (stanza.Name{Space: stream.NSErrors, Local: tt.err.Condition}) {
				t.Fatalf("read back as %v, %v", n, err)
			}
		})
	}
}

func TestFromSyntax(t *testing.T) {
	for input, condition := range map[string]string{
		"<a>":             stream.NotWellFormed,
		"<a><!-- --></a>": stream.RestrictedXML,
		"<a b:c='1'/>":    stream.NotWellFormed,
	} {
		_, err := stanza.ParseFrame([]byte(input), stanza.Limits{})
		syntax, ok := err.(*stanza.SyntaxError) //nolint:errorlint // what ParseFrame promises
		if !ok {
			t.Fatalf("%s: %v", input, err)
		}
		if e := stream.FromSyntax(syntax); e.Condition != condition || e.Text == "" {
			t.Errorf("%s: %v", input, e)
		}
	}
}
