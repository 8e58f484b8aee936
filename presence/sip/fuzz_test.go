package sip_test

import (
	"testing"

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
