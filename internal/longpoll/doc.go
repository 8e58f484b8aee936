// Package longpoll is an HTTP/1.1 engine for one thing: very many clients that
// each have a POST request waiting for its answer. It is the fast way in front
// of a general server, not a server of its own.
//
// It takes a request only if it is of the plainest sort: POST to a registered
// path, HTTP/1.1, each line ended by CRLF, one Host, one Content-Length within
// the limit, and nothing that says how the body is framed, coded or awaited in
// another way. Anything else, and with it the connection for the rest of its
// life and all bytes read so far, is handed over to the general server
// ([Config.HandOver]), which decides about errors too. So there are never two
// opinions about where a body ends.
//
// On Linux, a connection costs one struct: no goroutine, no stack and no
// buffer while it is idle or its request is held. A reactor, one goroutine for
// many connections, waits for all of them with epoll, reads what came into a
// buffer of its own, and calls the [Handler], which answers at once or later,
// from any goroutine ([Exchange.Respond]). Whoever answers writes the response
// to the socket and never waits for the client: what the socket does not take
// is left to the reactor, under a deadline. There is no engine on other
// systems; there all connections are the general server's.
//
// TLS is found by the first byte. The handshake has a goroutine; after it a TLS
// connection is treated like any other, with what crypto/tls keeps besides.
//
//	e, err := longpoll.New(longpoll.Config{Handler: h, HandOver: general.Push, Log: log})
//	err = e.Add(conn)
package longpoll
