package esl

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

const (
	maxRow  = 8 << 10  // bytes of one header; what is longer is left out
	maxRows = 1000     // headers of one message or event
	maxBody = 1 << 20  // of an event
	maxList = 64 << 20 // of a list of channels
	maxText = 1 << 10  // of what else is answered
	atMost  = 100_000  // channels in a list
)

// message is one thing that a switch says.
type message struct {
	kind  string // the content type
	reply string // Reply-Text, or the text of an answer
	event fields // of an event
	list  []row  // of an answer that is a list of channels
	isRow bool   // whether it is one, for it may be empty
}

// fields are the headers that matter here, in lower case.
type fields map[string]string

// kept are the headers that matter here. Nothing else is kept, whatever a peer sends.
var kept = map[string]bool{
	"content-type": true, "content-length": true, "reply-text": true,
	"event-name": true, "unique-id": true, "old-unique-id": true, "call-direction": true, "channel-call-state": true,
	"channel-presence-id": true, "caller-channel-created-time": true,
}

// row is a channel in a list.
type row struct {
	UUID      string `json:"uuid"`
	Direction string `json:"direction"`
	Created   string `json:"created_epoch"`
	State     string `json:"callstate"`
	Presence  string `json:"presence_id"`
}

// reader reads messages.
type reader struct{ in *bufio.Reader }

func newReader(r io.Reader) *reader { return &reader{bufio.NewReaderSize(r, maxRow)} }

// next returns the next message.
func (r *reader) next() (message, error) {
	head, err := headers(r.in, false)
	if err != nil {
		return message{}, err
	}
	m := message{kind: head["content-type"], reply: head["reply-text"]}
	if m.kind == "" {
		return m, errors.New("this is no event socket of FreeSWITCH")
	}
	text, ok := head["content-length"]
	if !ok {
		return m, nil
	}
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 || size > maxList {
		return m, fmt.Errorf("the switch sends %.20s bytes at a time", text)
	}
	body := io.LimitedReader{R: r.in, N: size}
	if err := m.read(&body); err != nil {
		return m, err
	}
	_, err = io.Copy(io.Discard, &body)
	if err == nil && body.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return m, err
}

// read takes the body of a message. What is behind the parts that matter is left.
func (m *message) read(body *io.LimitedReader) error {
	switch m.kind {
	case "text/event-plain":
		if body.N > maxBody {
			return nil // left out
		}
		var err error
		m.event, err = headers(bufio.NewReaderSize(body, maxRow), true)
		return err
	case "api/response":
		in := bufio.NewReaderSize(body, maxRow)
		if first, err := in.Peek(1); err == nil && first[0] == '{' {
			m.isRow = true
			return m.rows(json.NewDecoder(in))
		}
		return m.text(in)
	case "text/disconnect-notice", "text/rude-rejection":
		return m.text(body)
	}
	return nil
}

func (m *message) text(in io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(in, maxText))
	m.reply = strings.TrimSpace(string(data))
	return err
}

// rows reads {"row_count":2,"rows":[{…},{…}]} one row after the other.
func (m *message) rows(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return listError(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return listError(err)
		}
		if key != "rows" {
			var skip json.RawMessage
			if err := d.Decode(&skip); err != nil {
				return listError(err)
			}
			continue
		}
		if t, err := d.Token(); err != nil || t != json.Delim('[') {
			return listError(err)
		}
		for d.More() {
			var one row
			if err := d.Decode(&one); err != nil {
				return listError(err)
			}
			if len(m.list) < atMost {
				m.list = append(m.list, one)
			}
		}
		if _, err := d.Token(); err != nil {
			return listError(err)
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return listError(err)
	}
	return nil
}

func listError(err error) error {
	if err == nil {
		return errors.New("the list of channels is none")
	}
	return fmt.Errorf("read the list of channels: %w", err)
}

// headers reads rows up to an empty one. In events the values are escaped as in URLs, and
// the end may be that of the body.
func headers(in *bufio.Reader, event bool) (fields, error) {
	f, some := fields{}, false
	for range maxRows {
		text, whole, err := readRow(in)
		if event && errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		if text == "" && whole {
			if !some && !event { // empty rows between messages
				continue
			}
			return f, nil
		}
		some = true
		key, value, ok := strings.Cut(text, ":")
		if key = strings.ToLower(key); !ok || !whole || !kept[key] {
			continue
		}
		value = strings.TrimSpace(value)
		if plain, err := url.PathUnescape(value); event && err == nil {
			value = plain
		}
		if _, there := f[key]; !there {
			f[key] = value
		}
	}
	return nil, fmt.Errorf("a message has more than %d headers", maxRows)
}

// readRow returns a row without its end, and whether that is all of it.
func readRow(in *bufio.Reader) (text string, whole bool, err error) {
	data, err := in.ReadSlice('\n')
	text, whole = string(data), true
	for errors.Is(err, bufio.ErrBufferFull) {
		whole = false
		_, err = in.ReadSlice('\n')
	}
	if err != nil {
		return "", false, fmt.Errorf("read from the switch: %w", err)
	}
	return strings.TrimRight(text, "\r\n"), whole, nil
}
