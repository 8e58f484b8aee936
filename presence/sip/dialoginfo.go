package sip

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// Phase is the state of a dialog, RFC 4235 §3.7.1.
type Phase uint8

// The phases in their order.
const (
	Trying Phase = iota
	Proceeding
	Early
	Confirmed
	Terminated
)

var phases = map[string]Phase{"trying": Trying, "proceeding": Proceeding, "early": Early, "confirmed": Confirmed, "terminated": Terminated}

// maxDialogs bounds the dialogs of a line.
const maxDialogs = 128

// Dialog is one of a document.
type Dialog struct {
	ID, CallID string
	Phase      Phase
	Held       bool
	Outgoing   bool // the line calls
}

// DialogInfo is a document of RFC 4235.
type DialogInfo struct {
	Entity  string // as written
	Version uint64
	Full    bool
	Dialogs []Dialog
}

// ParseDialogInfo reads application/dialog-info+xml.
func ParseDialogInfo(body []byte) (DialogInfo, error) {
	c, err := newCursor(body)
	if err != nil {
		return DialogInfo{}, err
	}
	r := dialogReader{c: c}
	if err := c.walk(r.start, r.text, r.end); err != nil {
		return DialogInfo{}, err
	}
	return r.doc, nil
}

type dialogReader struct {
	c     *cursor
	doc   DialogInfo
	one   Dialog
	in    bool // within a dialog
	phase string
}

func (r *dialogReader) start(e xml.StartElement) error {
	switch name := e.Name.Local; {
	case len(r.c.path) == 1:
		return r.root(e)
	case name == "dialog" && len(r.c.path) == 2:
		if len(r.doc.Dialogs) >= maxDialogs {
			return ErrTooLarge
		}
		r.in, r.phase = true, ""
		r.one = Dialog{ID: cut(attribute(e, "id")), CallID: cut(attribute(e, "call-id")), Outgoing: attribute(e, "direction") == "initiator"}
		if r.one.ID == "" {
			return fmt.Errorf("%w: a dialog without id", ErrDocument)
		}
	case name == "param" && r.in && r.local():
		// RFC 4235 §4.1.6: the local party renders nothing. Asterisk writes pname
		// and pval as the standard does, others name and value.
		if param(e, "pname", "name") == "+sip.rendering" && strings.EqualFold(param(e, "pval", "value"), "no") {
			r.one.Held = true
		}
	}
	return nil
}

// local reports whether the innermost element describes the line itself.
func (r *dialogReader) local() bool { return len(r.c.path) > 2 && r.c.path[2] == "local" }

func param(e xml.StartElement, names ...string) string {
	for _, n := range names {
		if v := attribute(e, n); v != "" {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

func (r *dialogReader) root(e xml.StartElement) error {
	if e.Name.Local != "dialog-info" {
		return fmt.Errorf("%w: %s in place of dialog-info", ErrDocument, e.Name.Local)
	}
	r.doc.Entity = strings.TrimSpace(attribute(e, "entity"))
	switch state := attribute(e, "state"); state {
	case "full":
		r.doc.Full = true
	case "partial":
	default:
		return fmt.Errorf("%w: state %.20q", ErrDocument, state)
	}
	version, err := strconv.ParseUint(strings.TrimSpace(attribute(e, "version")), 10, 63)
	if err != nil {
		return fmt.Errorf("%w: version: %w", ErrDocument, err)
	}
	r.doc.Version = version
	return nil
}

func (r *dialogReader) text(name, value string) {
	if r.in && name == "state" && len(r.c.path) == 3 {
		r.phase += value
	}
}

func (r *dialogReader) end(name string) {
	if name != "dialog" || len(r.c.path) != 2 {
		return
	}
	r.in = false
	// One in a state that nobody knows is left out, RFC 4235 §3.7.1 has no others.
	if phase, ok := phases[strings.ToLower(r.phase)]; ok {
		r.one.Phase = phase
		r.doc.Dialogs = append(r.doc.Dialogs, r.one)
	}
}

// cut bounds an identifier that is kept.
func cut(id string) string {
	if len(id) > maxURI {
		id = id[:maxURI]
	}
	return strings.Clone(id)
}
