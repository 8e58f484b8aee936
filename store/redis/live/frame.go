package live

import (
	"github.com/deskline/deskline/internal/pack"
	"github.com/deskline/deskline/xmpp/stanza"
)

// A frame in a mailbox is an encoded stanza. What is known of a stanza and not
// encoded in it stands before that, behind a byte that begins no stanza.
const remarked = 1

func seal(st *stanza.Stanza, frame []byte) []byte {
	if len(st.Also) == 0 && !st.Kept {
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
