// Package sip is the presence of telephones: a presence.Source that hears from
// call managers and PBXes over SIP what each line does.
//
// They tell it in two ways. Cisco Unified CM publishes it (RFC 3903) over its IM
// and Presence publish trunk as PIDF (RFC 3863) with activities (RFC 4480);
// Kamailio publishes dialogs (RFC 4235). Asterisk, FreeSWITCH and Kamailio are
// subscribed to (RFC 6665) and notify of either.
//
// The parsers, Book, board and publications are pure: in go bytes and the time,
// out comes what a line does. Server and Subscriber stand around them and speak
// SIP; Source joins the two and sends evidence.
//
//	source, err := sip.New(sip.Config{Listen: ":5060", Trusted: pbxes, Lines: lines, Log: log})
//	err = source.Run(ctx, out)
package sip
