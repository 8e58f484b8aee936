// Package xmpptest plays conversations between clients and a server that are
// written down as scripts. It knows the server by addresses alone, BOSH
// (XEP-0124, XEP-0206) or WebSocket (RFC 7395), and reads what it says with
// encoding/xml, so that the server's own parser cannot hide its mistakes. The
// addresses may be those of one node or of several.
//
//	script, err := xmpptest.Parse("message.txtar", text)
//	err = xmpptest.Play(ctx, xmpptest.Config{Domain: "example.com", ...}, script)
//
// # Scripts
//
// A script has a statement a line; lines that begin with a blank carry it on,
// and # begins a comment. Each statement begins with who acts: alice/phone is a
// client of alice's with the resource phone, alice one whose resource the server
// chooses, alice/phone#2 another client with the same resource, olga@other.org/web
// one of another domain.
//
//	alice/phone connects             opens a stream; its features are to be got
//	alice/phone authenticates        connects, proves who it is, restarts the stream
//	alice/phone signs in             authenticates, binds the resource
//	alice/phone comes online         signs in, sends presence, gets it back, and is waited for
//	alice/phone cannot sign in       fails to authenticate; "… because of account-disabled"
//	alice/phone restarts the stream  the features are to be got
//	alice/phone sends <message …/>   one element or more
//	bob/desk gets <message …/>       exactly these, in this order
//	bob/desk gets in any order …     exactly these
//	bob/desk gets nothing            see below
//	bob/desk closes                  ends the stream; "closes with …" sends something last
//	bob/desk vanishes                is cut off
//	bob/desk is ended with conflict  gets a stream error; none: "is ended"
//	the server restarts
//	the administrator …              does what the test knows how to
//
// Clients use the door the script is played over; "alice/phone over websocket
// signs in" and "over bosh" choose. "with 'secret'" behind a statement that
// authenticates gives another password than that of all accounts.
//
// At the end all clients must have got everything they were sent. That, and
// "gets nothing", is not proved by waiting: each client asks the server for a
// sign of life, first those who may have caused something, then those who may
// have got it, and the answer comes after everything before it.
//
// # Elements
//
// Elements without a namespace are those of jabber:client. What is got has to be
// the same tree, whatever the order of attributes and the prefixes. In its
// place may stand:
//
//   - * in an attribute or a text, for any characters;
//   - {name} in an attribute or a text: any characters the first time, which are
//     kept under the name, and the same ones from then on, in what is sent too;
//   - ... in a start tag, for attributes not listed;
//   - ... as content, for elements not listed.
//
// A stanza written without "to" may have the client's own address there, full or
// bare, or none. In what is sent, {plain:user:password} is the message of the
// SASL mechanism PLAIN, {repeat:n:text} is text n times.
package xmpptest
