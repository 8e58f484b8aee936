// Package bosh is the door for XMPP over HTTP long polling: XEP-0124 1.11 and
// XEP-0206 1.4, all but script syntax and several streams in one session.
//
// Its heart is [Window], a pure state machine that puts requests in order
// whatever way they arrive, replays responses, and polices clients. A conn
// joins a window to a session.Session: it holds requests, gathers what is for
// the client, and answers. [Handler.Serve] needs nothing of net/http, so the
// HTTP engine can be changed; [Handler.ServeHTTP] is the present one.
//
//	h := bosh.New(bosh.Config{Open: open, Peer: edge.Peer, Origin: edge.AllowOrigin, Log: log})
//	mux.Handle("/http-bind", h)
//	go h.Run(ctx)
package bosh
