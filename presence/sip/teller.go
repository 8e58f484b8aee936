package sip

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/deskline/deskline/presence"
)

// reading is a document that was read and is not put in force yet, so that nothing
// is locked meanwhile.
type reading struct {
	dialogs *DialogInfo // of the event dialog
	diff    *PIDFDiff   // of the event presence, from servers that tell of changes
	state   presence.Line
}

// readDocument reads what a server says of one line. An empty body says that it
// knows nothing.
func readDocument(event, contentType string, body []byte) (reading, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return reading{}, nil
	}
	text, _, _ := strings.Cut(contentType, ";")
	text = strings.ToLower(strings.TrimSpace(text))
	switch {
	case text == typeDiff && event == eventPresence:
		doc, err := ParsePIDFDiff(body)
		return reading{diff: &doc}, err
	case text != typeOf[event]:
		return reading{}, fmt.Errorf("%w: %.40q in place of %s", ErrType, text, typeOf[event])
	case event == eventDialog:
		doc, err := ParseDialogInfo(body)
		return reading{dialogs: &doc}, err
	}
	doc, err := ParsePIDF(body)
	return reading{state: doc.State}, err
}

// teller keeps what one subscription says of one line, from document to document.
// The zero value has heard nothing.
type teller struct {
	book Book
}

// take puts a document in force and returns what the line does, or ErrGap if a full
// document is needed first.
func (t *teller) take(r reading) (presence.Line, error) {
	if r.dialogs == nil {
		return r.state, nil
	}
	if err := t.book.Apply(*r.dialogs); err != nil {
		return presence.LineUnknown, err
	}
	return t.book.State(), nil
}
