package sip

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/deskline/deskline/presence"
)

// What a document may have at most.
const (
	MaxBody     = 64 << 10
	maxDepth    = 32
	maxElements = 4096
	maxText     = 1024 // of an element that matters
)

var (
	// ErrTooLarge is for a document over the bounds.
	ErrTooLarge = errors.New("document too large")
	// ErrDocument is for what is no document of its type.
	ErrDocument = errors.New("malformed document")
	// ErrType is for a document of a type that was not asked for.
	ErrType = errors.New("unsupported type")
)

// cursor reads a document token by token within the bounds. Names are local:
// implementations disagree about namespaces, RFC 4480's has several spellings.
type cursor struct {
	d    *xml.Decoder
	path []string
	left int // elements
}

func newCursor(body []byte) (*cursor, error) { return newCursorOf(body, MaxBody, maxElements) }

// newCursorOf reads documents with bounds of their own.
func newCursorOf(body []byte, most, elements int) (*cursor, error) {
	if len(body) > most {
		return nil, ErrTooLarge
	}
	return &cursor{d: xml.NewDecoder(bytes.NewReader(body)), left: elements}, nil
}

// parent is the element around the innermost one.
func (c *cursor) parent() string {
	if len(c.path) < 2 {
		return ""
	}
	return c.path[len(c.path)-2]
}

// walk calls start, text and end until the document ends.
func (c *cursor) walk(start func(xml.StartElement) error, text func(name, value string), end func(name string)) error {
	root := false
	for {
		token, err := c.d.Token()
		if errors.Is(err, io.EOF) {
			if !root {
				return fmt.Errorf("%w: no element", ErrDocument)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDocument, err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if root && len(c.path) == 0 {
				return fmt.Errorf("%w: a second root", ErrDocument)
			}
			root = true
			if c.left--; c.left < 0 || len(c.path) >= maxDepth {
				return ErrTooLarge
			}
			c.path = append(c.path, t.Name.Local)
			if err := start(t); err != nil {
				return err
			}
		case xml.EndElement:
			end(t.Name.Local)
			c.path = c.path[:len(c.path)-1]
		case xml.CharData:
			if len(c.path) > 0 {
				text(c.path[len(c.path)-1], clip(t))
			}
		case xml.Directive: // a DTD
			return fmt.Errorf("%w: a document type", ErrDocument)
		}
	}
}

func clip(text []byte) string {
	text = bytes.TrimSpace(text)
	if len(text) > maxText {
		text = text[:maxText]
	}
	return string(text)
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name && a.Name.Space != "xmlns" {
			return a.Value
		}
	}
	return ""
}

// PIDF is what a presence document says of a line.
type PIDF struct {
	Entity string // as written
	State  presence.Line
}

// ParsePIDF reads a presence document (RFC 3863) with activities (RFC 4480) as
// Cisco Unified CM publishes them, and as Asterisk, FreeSWITCH and Kamailio notify of.
func ParsePIDF(body []byte) (PIDF, error) {
	var doc PIDF
	var seen pidfSigns
	c, err := newCursor(body)
	if err != nil {
		return doc, err
	}
	err = c.walk(func(e xml.StartElement) error {
		if len(c.path) == 1 {
			if e.Name.Local != "presence" {
				return fmt.Errorf("%w: %s in place of presence", ErrDocument, e.Name.Local)
			}
			doc.Entity = strings.TrimSpace(attribute(e, "entity"))
			return nil
		}
		if c.parent() == "activities" {
			seen.activity(e.Name.Local)
		}
		return nil
	}, func(name, value string) {
		switch {
		case name == "basic":
			seen.basic(value)
		case name == "note" && value != "":
			seen.note(value)
		case name == "activity" || name == "activities": // the text form of early drafts
			seen.activity(value)
		}
	}, func(string) {})
	if err != nil {
		return PIDF{}, err
	}
	doc.State = seen.state()
	return doc, nil
}

// pidfSigns gathers what a document hints at.
type pidfSigns struct {
	open, closed, phone, busy bool
	noted                     presence.Line
	away                      bool // a note says that nothing is registered
}

func (s *pidfSigns) basic(value string) {
	switch strings.ToLower(value) {
	case "open":
		s.open = true
	case "closed":
		s.closed = true
	}
}

func (s *pidfSigns) activity(name string) {
	switch strings.ToLower(name) {
	case "on-the-phone", "on_the_phone":
		s.phone = true
	case "busy":
		s.busy = true
	}
}

// note takes what PBXes write for people: Asterisk tells ringing, hold and call
// apart by nothing else.
func (s *pidfSigns) note(value string) {
	state := presence.LineUnknown
	switch value = strings.ToLower(value); {
	case value == "ringing":
		state = presence.LineRinging
	case value == "on hold", value == "hold", value == "held":
		state = presence.LineHeld
	case value == "on the phone", value == "in call", strings.HasPrefix(value, "talk"):
		state = presence.LineInCall
	case value == "ready", value == "idle":
		state = presence.LineIdle
	case value == "unavailable", value == "unregistered":
		s.away = true
	}
	s.noted = max(s.noted, state)
}

func (s *pidfSigns) state() presence.Line {
	switch {
	case s.noted > presence.LineIdle:
		return s.noted
	case s.away:
		return presence.LineUnknown
	case s.phone || s.busy: // Unified CM: off-hook is busy, and closed
		return presence.LineInCall
	case s.noted == presence.LineIdle || s.open:
		return presence.LineIdle
	}
	return presence.LineUnknown // closed without activity: not registered
}
