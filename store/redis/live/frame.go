package live

import (
	"context"

	"github.com/deskline/deskline/internal/pack"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
)

// A frame in a mailbox is an encoded stanza. What is known of a stanza and not
// encoded in it stands before that, behind a byte that begins no stanza.
const remarked = 1

// order begins a frame that ends the session in place of bringing it a stanza.
const order = 2

// ender is a receiver that can be ended.
type ender interface {
	End(condition, reason string)
}

// End ends a session, wherever it is, after all that was posted to it before.
func (l *Shared) End(ctx context.Context, sid router.SID, condition, reason string) error {
	frame := pack.String(pack.String([]byte{order}, condition), reason)
	_, err := l.post(ctx, []router.Letter{{To: sid, Frame: frame}})
	return err
}

// obey carries out an order, if the frame is one.
func obey(frame []byte, to session.Receiver) bool {
	if len(frame) == 0 || frame[0] != order {
		return false
	}
	r := pack.NewReader(frame[1:])
	condition, reason := r.String(), r.String()
	if e, ok := to.(ender); ok && r.Err() == nil {
		e.End(condition, reason)
	}
	return true
}

func seal(st *stanza.Stanza, frame []byte) []byte {
	if st == nil || len(st.Also) == 0 && !st.Kept {
		return frame
	}
	out := make([]byte, 0, len(frame)+8+32*len(st.Also))
	out = pack.Bool(append(out, remarked), st.Kept)
	out = pack.Uint(out, uint64(len(st.Also)))
	for _, sid := range st.Also {
		out = pack.String(out, sid)
	}
	return pack.Bytes(out, frame)
}

// Unseal reads a frame of a mailbox: a stanza, and its encoding for the client.
func Unseal(sealed []byte) (*stanza.Stanza, []byte, error) {
	if len(sealed) == 0 || sealed[0] != remarked {
		st, err := stanza.Decode(sealed)
		return st, sealed, err
	}
	r := pack.NewReader(sealed[1:])
	kept := r.Bool()
	var also []string
	for range r.Count() {
		also = append(also, r.String())
	}
	frame := r.Bytes()
	if r.Err() != nil {
		return nil, nil, r.Err()
	}
	st, err := stanza.Decode(frame)
	if err != nil {
		return nil, nil, err
	}
	st.Kept, st.Also = kept, also
	return st, frame, nil
}
