package xmpptest

import (
	"bytes"
	"encoding/xml"
	"strings"
)

// Door is a way into the server.
type Door string

// The doors.
const (
	BOSH      Door = "bosh"
	WebSocket Door = "websocket"
)

// wire carries one stream. What comes goes into an inbox.
type wire interface {
	// restart opens the stream anew; its features come.
	restart() error
	// send gives the server elements, each encoded with its namespaces.
	send(elements ...string) error
	// close ends the stream after a last few elements.
	close(elements ...string) error
	// cut ends the connection without a word and releases all there is.
	cut()
}

// split takes elements that stand side by side apart. What cannot be parsed is
// sent as it is: the server has to cope with it.
func split(text string) []string {
	text = strings.TrimSpace(text)
	d := xml.NewDecoder(strings.NewReader(text))
	var list []string
	depth, from := 0, int64(0)
	for {
		token, err := d.RawToken()
		if err != nil {
			break
		}
		switch token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			if depth--; depth == 0 {
				list = append(list, strings.TrimSpace(text[from:d.InputOffset()]))
				from = d.InputOffset()
			}
		}
	}
	if rest := strings.TrimSpace(text[from:]); rest != "" {
		list = append(list, rest)
	}
	for i := range list {
		list[i] = withNamespace(list[i])
	}
	return list
}

// withNamespace puts an element without a namespace into jabber:client.
func withNamespace(el string) string {
	end := strings.IndexAny(el, " \n\t/>")
	tag, _, _ := strings.Cut(el, ">")
	if end < 0 || strings.Contains(tag, "xmlns=") || strings.Contains(el[:end], ":") {
		return el
	}
	return el[:end] + " xmlns='" + nsClient + "'" + el[end:]
}

// escape encodes a text.
func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}

// conditionOf returns the condition of a stream error.
func conditionOf(e *element) string {
	for _, c := range e.children {
		if c.name.Space == nsErrors && c.name.Local != "text" {
			return c.name.Local
		}
	}
	return "undefined-condition"
}
