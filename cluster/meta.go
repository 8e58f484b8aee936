package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/hashicorp/memberlist"
)

// Meta is what a node tells the others about itself.
type Meta struct {
	PublicURL   string // by which clients reach this very node
	InternalURL string // by which other nodes reach it; "" = PublicURL
	BOSH        string // path of the door, "" = closed
	WebSocket   string // path of the door, "" = closed
	Version     string
	Incarnation uint64 // of the process: differs after each start
	Sessions    uint64 // the load
	Epoch       uint64 // the latest change of assignments that it knows
	Healthy     bool   // its critical services run
	Draining    bool   // it takes no new sessions
	Leaving     bool   // it is about to go, on purpose
}

// MetaLimit is the size of encoded metadata that gossip carries at most.
const MetaLimit = memberlist.MetaMaxSize

// metaFormat begins the encoding; another first byte is another format.
const metaFormat = 1

// Each field is its tag, its length and its value, so that a node can skip what
// a newer one tells.
const (
	tagPublicURL = iota + 1
	tagInternalURL
	tagBOSH
	tagWebSocket
	tagVersion
	tagIncarnation
	tagSessions
	tagEpoch
	tagFlags
)

const (
	flagHealthy = 1 << iota
	flagDraining
	flagLeaving
)

var errMeta = errors.New("metadata of another program or broken")

// Encode writes the metadata, the same each time; absent fields take no room.
func (m Meta) Encode() ([]byte, error) {
	out := make([]byte, 1, 128)
	out[0] = metaFormat
	for tag := byte(tagPublicURL); tag <= tagVersion; tag++ {
		if text := *m.text(tag); text != "" {
			out = binary.AppendUvarint(append(out, tag), uint64(len(text)))
			out = append(out, text...)
		}
	}
	for i, n := range []uint64{m.Incarnation, m.Sessions, m.Epoch, m.flags()} {
		if n != 0 {
			value := binary.AppendUvarint(nil, n)
			out = append(append(out, tagIncarnation+byte(i), byte(len(value))), value...)
		}
	}
	if len(out) > MetaLimit {
		return nil, fmt.Errorf("metadata of the node has %d bytes, gossip carries %d: shorten cluster.public_url and cluster.internal_url", len(out), MetaLimit)
	}
	return out, nil
}

// text returns the field of a tag up to tagVersion, nil for others.
func (m *Meta) text(tag byte) *string {
	switch tag {
	case tagPublicURL:
		return &m.PublicURL
	case tagInternalURL:
		return &m.InternalURL
	case tagBOSH:
		return &m.BOSH
	case tagWebSocket:
		return &m.WebSocket
	case tagVersion:
		return &m.Version
	}
	return nil
}

func (m *Meta) flags() (bits uint64) {
	if m.Healthy {
		bits |= flagHealthy
	}
	if m.Draining {
		bits |= flagDraining
	}
	if m.Leaving {
		bits |= flagLeaving
	}
	return bits
}

// DecodeMeta reads what Encode wrote. It refuses addresses that a client must
// not be sent to.
func DecodeMeta(data []byte) (Meta, error) {
	var m Meta
	if len(data) == 0 || data[0] != metaFormat || len(data) > MetaLimit {
		return m, errMeta
	}
	for rest := data[1:]; len(rest) > 0; {
		tag := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return Meta{}, errMeta
		}
		value := rest[1+n : 1+n+int(size)]
		rest = rest[1+n+int(size):]
		if err := m.set(tag, value); err != nil {
			return Meta{}, err
		}
	}
	for _, u := range []string{m.PublicURL, m.InternalURL} {
		if u != "" && !IsBase(u) {
			return Meta{}, fmt.Errorf("%w: %q is no address of a node", errMeta, u)
		}
	}
	return m, nil
}

func (m *Meta) set(tag byte, value []byte) error {
	if text := m.text(tag); text != nil {
		*text = string(value)
		return nil
	}
	if tag == 0 || tag > tagFlags {
		return nil // a newer node has more to tell
	}
	n, used := binary.Uvarint(value)
	if used <= 0 || used != len(value) {
		return errMeta
	}
	switch tag {
	case tagIncarnation:
		m.Incarnation = n
	case tagSessions:
		m.Sessions = n
	case tagEpoch:
		m.Epoch = n
	case tagFlags:
		m.Healthy, m.Draining, m.Leaving = n&flagHealthy != 0, n&flagDraining != 0, n&flagLeaving != 0
	}
	return nil
}

// IsBase reports whether text is the address of a node: http or https, a host,
// maybe a port, and no more.
func IsBase(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil &&
		u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && strings.Trim(u.Path, "/") == ""
}

// Doors returns the addresses of the node's doors, "" for a closed one.
func (m Meta) Doors() (bosh, websocket string) {
	base := strings.TrimRight(m.PublicURL, "/")
	if base == "" {
		return "", ""
	}
	if m.BOSH != "" {
		bosh = base + m.BOSH
	}
	if m.WebSocket != "" {
		websocket = "ws" + strings.TrimPrefix(base, "http") + m.WebSocket
	}
	return bosh, websocket
}

// Reach returns the address by which other nodes reach the node.
func (m Meta) Reach() string {
	if m.InternalURL != "" {
		return m.InternalURL
	}
	return m.PublicURL
}
