// Package load drives any BOSH server with thousands of sessions and keeps the
// ledger of what it sent: each message carries the number of its stream and its
// place in it, so that a lost, doubled or overtaken message is seen.
//
// The generator shares its machine with the server, so it must be cheap: one
// thread, one epoll instance, sessions as state machines, requests from
// templates and responses cut by byte search (package wire). Each session is a
// correct BOSH client all the same: up to two requests on two keep-alive
// connections, which overtake each other under load; responses are taken in
// the order of their request numbers; a request whose connection dies is sent
// again with its number; a new request goes out only with payload or when none
// is held.
//
//	f, err := load.NewFleet(load.Config{URL: "http://127.0.0.1:5280/http-bind", Domain: "localhost", …})
//	setup, err := f.SignIn(0, 400, 32, time.Minute)
//	open, err := f.OpenLoop(200, 1000, 10*time.Second)
//
// A Fleet belongs to one goroutine.
package load
