package ami

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	maxRow  = 8 << 10 // bytes of one row; what is longer is left out
	maxRows = 1000    // of one packet
)

// errNoManager is for a peer that does not begin as an Asterisk does.
var errNoManager = errors.New("this is no Asterisk manager interface")

// packet is a response or an event: of the keys that matter here, in lower case, the first of each.
type packet map[string]string

// kept are the keys that matter. Nothing else is kept, whatever a peer sends.
var kept = map[string]bool{
	"response": true, "event": true, "actionid": true, "message": true, "challenge": true,
	"exten": true, "context": true, "status": true, "device": true, "state": true,
}

// reader reads packets.
type reader struct {
	in      *bufio.Reader
	greeted bool
}

func newReader(r io.Reader) *reader { return &reader{in: bufio.NewReaderSize(r, maxRow)} }

// next returns the next packet. The first one is the greeting, under the key "greeting".
func (r *reader) next() (packet, error) {
	if !r.greeted {
		r.greeted = true
		row, _, err := r.row()
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(row, "Asterisk Call Manager/") {
			return nil, errNoManager
		}
		return packet{"greeting": row}, nil
	}
	p, some := packet{}, false
	for range maxRows {
		row, whole, err := r.row()
		if err != nil {
			return nil, err
		}
		if row == "" && whole {
			if !some { // rows that are no fields, or none
				continue
			}
			return p, nil
		}
		key, value, ok := strings.Cut(row, ":")
		if key = strings.ToLower(strings.TrimSpace(key)); !ok || !whole || key == "" {
			continue
		}
		some = true
		if _, there := p[key]; !there && kept[key] {
			p[key] = strings.TrimSpace(value)
		}
	}
	return nil, fmt.Errorf("a packet has more than %d rows", maxRows)
}

// row returns a row without its end, and whether that is all of it.
func (r *reader) row() (row string, whole bool, err error) {
	data, err := r.in.ReadSlice('\n')
	row, whole = string(data), true
	for errors.Is(err, bufio.ErrBufferFull) {
		whole = false
		_, err = r.in.ReadSlice('\n')
	}
	if err != nil {
		return "", false, fmt.Errorf("read from the switch: %w", err)
	}
	return strings.TrimRight(row, "\r\n"), whole, nil
}
