package web

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"
)

// A page that came by HTTPS may ask nobody by plain HTTP, so it cannot find out
// that a node whose certificate it does not trust is alive: requests fail alike.
// What it may do is ask a relay for WebRTC (TURN, RFC 8656) without TLS, on any
// port. The node answers such a request on its port with what it is: no relay.
// The page sees the code of that answer, see web/resolver. Nothing is ever
// relayed, whoever asks with whichever password.
const (
	stunFirst    = 0x00 // of an Allocate request; no HTTP method and no TLS record begins so
	stunAllocate = 0x0003
	stunError    = 0x0110 // with the method
	stunCookie   = 0x2112A442
	stunHeader   = 20
	stunMax      = 1024 // browsers send 80 bytes

	attrErrorCode = 0x0009
	attrRealm     = 0x0014
	attrNonce     = 0x0015

	relayTime = 5 * time.Second
)

var errNoAllocate = errors.New("no Allocate request")

// refuseRelay answers Allocate requests on a connection, whose first bytes are
// given. Browsers show what a relay says to a second one, with credentials, alone
// (RFC 8489 §9.2).
func refuseRelay(c net.Conn, first []byte) error {
	if err := c.SetDeadline(time.Now().Add(relayTime)); err != nil {
		return err
	}
	in := io.MultiReader(bytes.NewReader(first), c)
	for _, answer := range []struct {
		code  int
		words string
		attrs []byte
	}{
		{401, "Unauthorized", append(stunAttr(attrRealm, "deskline"), stunAttr(attrNonce, "deskline")...)},
		{403, "Forbidden: this is no relay", nil},
	} {
		id, err := readAllocate(in)
		if err != nil {
			return err
		}
		body := append(stunAttr(attrErrorCode, "\x00\x00"+string([]byte{byte(answer.code / 100), byte(answer.code % 100)})+answer.words), answer.attrs...)
		out := binary.BigEndian.AppendUint16(nil, stunAllocate|stunError)
		out = binary.BigEndian.AppendUint16(out, uint16(len(body)))
		out = append(append(out, id...), body...)
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
	// A browser that sees the end before it has read the answer tells of the end.
	_, err := io.CopyN(io.Discard, in, stunMax)
	return err
}

// readAllocate reads one request and returns its cookie and transaction.
func readAllocate(in io.Reader) ([]byte, error) {
	head := make([]byte, stunHeader)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint16(head[2:]))
	if binary.BigEndian.Uint16(head) != stunAllocate || binary.BigEndian.Uint32(head[4:]) != stunCookie || size > stunMax || size%4 != 0 {
		return nil, errNoAllocate
	}
	_, err := io.CopyN(io.Discard, in, size)
	return head[4:], err
}

func stunAttr(kind uint16, value string) []byte {
	out := binary.BigEndian.AppendUint16(nil, kind)
	out = binary.BigEndian.AppendUint16(out, uint16(len(value)))
	out = append(out, value...)
	return append(out, make([]byte, (4-len(value)%4)%4)...)
}
