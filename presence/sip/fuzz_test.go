package sip_test

import (
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

func FuzzPIDF(f *testing.F) {
	for _, tt := range pidfs {
		f.Add([]byte(tt.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := sip.ParsePIDF(body)
		if err != nil && doc != (sip.PIDF{}) {
			t.Errorf("%+v beside %v", doc, err)
		}
		if doc.State > presence.LineInCall {
			t.Errorf("state %d", doc.State)
		}
	})
}

func FuzzDialogInfo(f *testing.F) {
	f.Add([]byte(info("0", "full", asteriskHold+call("b", "early"))), []byte(info("1", "partial", call("b", "terminated"))))
	f.Add([]byte(info("0", "full", call("b", "confirmed"))), []byte(info("1", "full", call("b", "early"))))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var book sip.Book
		for _, body := range [][]byte{first, second} {
			doc, err := sip.ParseDialogInfo(body)
			if err != nil {
				continue
			}
			if err := book.Apply(doc); err == nil && doc.Full && len(doc.Dialogs) == 0 && book.State() != presence.LineIdle {
				t.Error("a full document without dialogs left some")
			}
		}
	})
}

func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"sip:2001@pbx:5060;x", "tel:+49-30", "<sip:a@[::1]>", "2001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, err := sip.Normalise(text)
		if err != nil {
			return
		}
		if twice, err := sip.Normalise(once); err != nil || twice != once {
			t.Errorf("%q became %q, then %q, %v", text, once, twice, err)
		}
	})
}

func FuzzList(f *testing.F) {
	kind, body := related(rlmi(0, true, resource("2001", active("a", "c1"), over("b", "rejected"))+resource("2002")), busy("c1", "0"))
	inKind, inBody := related(rlmi(1, false, resource("2001", active("x", "c1"))), idle("c1", "1"))
	f.Add(kind, []byte(body), []byte(inBody))
	nested := part{"n", strings.ReplaceAll(inKind, "cut", "in"), strings.ReplaceAll(inBody, "--cut", "--in")}
	kind, body = related(rlmi(0, true, resource("team", active("a", "n"))), nested)
	f.Add(kind, []byte(body), []byte(body))
	f.Add("application/rlmi+xml", []byte(rlmi(0, true, resource("2001"))), []byte(rlmi(1, false, "")))
	f.Fuzz(func(t *testing.T, kind string, first, second []byte) {
		roll, said, now := sip.NewRoll("l"), told{}, time.Now()
		for _, body := range [][]byte{first, second} {
			list, err := sip.ParseList("dialog", kind, body)
			if err != nil {
				continue
			}
			err = roll.Apply(list, said.say, now)
			if list.Full && len(list.Resources) > 0 && roll.Members() == 0 {
				t.Errorf("no members of %d resources: %v", len(list.Resources), err)
			}
			now = now.Add(time.Minute)
			roll.Settle(said.say, now)
		}
		roll.Clear(said.say)
		if said.String() != "" || roll.Members() != 0 {
			t.Errorf("%d members and %s are left", roll.Members(), said)
		}
	})
}

func FuzzPIDFDiff(f *testing.F) {
	f.Add([]byte(pidfFull(0, desk+cell)), []byte(pidfDiff(1, `<p:replace sel="*/tuple[@id='desk']/status/basic/text()">closed</p:replace><p:add sel="*" pos="prepend"><note>Ringing</note></p:add>`)))
	f.Add([]byte(pidfFull(0, desk)), []byte(pidfDiff(1, `<p:remove sel="*/tuple[1]/contact/@priority"/><p:add sel="*/tuple[contact='sip:2001@desk']" type="@x">y</p:add>`)))
	f.Fuzz(func(t *testing.T, full, diff []byte) {
		var p sip.Partial
		for _, body := range [][]byte{full, diff, diff} {
			doc, err := sip.ParsePIDFDiff(body)
			if err != nil {
				continue
			}
			state, err := p.Apply(doc)
			if err != nil && (p.Size() > 0 || state != presence.LineUnknown) {
				t.Errorf("%d, %d bytes kept beside %v", state, p.Size(), err)
			}
			if p.Size() > 2*sip.MaxBody {
				t.Errorf("%d bytes kept", p.Size())
			}
		}
	})
}
