package router

import "context"

// Origin is the client's request that a stanza comes from. A request that is
// repeated on another node causes the same stanzas again; by the origin its
// receivers know those they have.
type Origin struct {
	sid     SID
	request uint64
	stanza  int // place in the request
	act     int // place among what the stanza causes
}

type originKey struct{}

// WithOrigin marks what is handled under ctx as caused by a request of a
// session.
func WithOrigin(ctx context.Context, sid SID, request uint64) context.Context {
	return context.WithValue(ctx, originKey{}, &Origin{sid: sid, request: request})
}

// OriginOf returns the origin of what is handled under ctx, nil if there is none.
func OriginOf(ctx context.Context) *Origin {
	o, _ := ctx.Value(originKey{}).(*Origin)
	return o
}

// SID returns the session, "" of no origin.
func (o *Origin) SID() SID {
	if o == nil {
		return ""
	}
	return o.sid
}

// Next goes on to the next stanza of the request.
func (o *Origin) Next() {
	if o != nil {
		o.stanza, o.act = o.stanza+1, 0
	}
}

// Stanza numbers the stanza itself, in the order of a session's.
func (o *Origin) Stanza() (request, place uint64, ok bool) {
	if o == nil || o.request == 0 {
		return 0, 0, false
	}
	return o.request, uint64(o.stanza), true //nolint:gosec // it is a count
}

// Again goes back to the beginning of the stanza, to cause the same once more.
func (o *Origin) Again() {
	if o != nil {
		o.act = 0
	}
}

// acts bounds what one stanza may cause, for the order of tokens.
const acts = 1 << 20

// Token numbers the next thing the stanza causes: within a session the pairs
// grow, and the same request gives the same ones again. ok is false without an
// origin.
func (o *Origin) Token() (request, place uint64, ok bool) {
	if o == nil || o.request == 0 {
		return 0, 0, false
	}
	o.act++
	return o.request, uint64(o.stanza)*acts + uint64(min(o.act, acts-1)), true //nolint:gosec // both are counts
}
