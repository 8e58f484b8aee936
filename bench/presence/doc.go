// Command presence torments a cluster while telephones, calendars and people
// change, and keeps a ledger of what contacts are shown. Lines are told over HTTP,
// by single reports and in bulk, and over SIP, by datagrams and connections, each
// at any node; calendars are files that change; people choose, come and go. Meanwhile
// nodes are killed, halted, cut off and restarted, Redis is killed, and sources fall
// silent.
//
// The ledger has a truth of its own: what each source said last and was accepted, from
// which it derives by its own table, not the server's code, what a user is at each
// time. Between the start of a request and a short time after its acceptance both is
// true. A contact who is shown what was not true since what was shown before is
// shown something wrong; one whose view does not become the truth in a bounded time after
// the last change, sign-in or trouble is stuck. How long changes take is measured by
// what changed.
//
//	presence                     one round of each scenario
//	presence -duration 1h        as many as that takes
//	presence -only 'kill|halt'   some of them
//
// The exit code is 1 when somebody was shown something wrong or got stuck; what led to
// it is printed. It needs Linux, and root or user namespaces.
package main
