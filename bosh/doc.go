// Package bosh is the door for XMPP over HTTP long polling: XEP-0124 1.11 and
// XEP-0206 1.4, all but script syntax and several streams in one session.
//
// Its heart is [Window], a pure state machine that puts requests in order
// whatever way they arrive, replays responses, and polices clients. A conn
// joins a window to a session.Session: it holds requests, gathers what is for
// the client, and answers. [Handler.Handle] needs nothing of HTTP: a request that
// is held costs a small struct and a timer, and whoever has something for the
// client writes the response. Two engines call it: [Handler.Poll] for requests
// of the plain sort, and net/http by [Handler.ServeHTTP] for all others.
//
//	h := bosh.New(bosh.Config{Open: open, Peer: edge.Peer, Origin: edge.AllowOrigin, Log: log})
//	mux.Handle("/http-bind", h)
//	go h.Run(ctx)
package bosh
