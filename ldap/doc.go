// Package ldap is the directory of people: OpenLDAP, Active Directory and their
// like. It signs people in by a bind with their own password (RFC 4513 §5.1.3),
// knows who may use chat, and tells of all people and of what changes.
//
//	d, err := ldap.New(ldap.Config{URLs: urls, Base: base, Domains: domains, Log: log})
//	go d.Run(ctx, sink)
//	err = d.Login(ctx, alice, password)
//
// A [Directory] has one or more servers that hold the same. The first that answers
// is used; one that does not is left alone for a while that grows. Each operation
// has one deadline over all servers together, so that a directory that hangs costs
// those who sign in that long and nobody else anything: who exists and who may
// chat is known from memory, from what [Directory.Run] has read.
//
// Referrals (RFC 4511 §4.1.10) are not followed: they may lead anywhere, and with
// them the password of the service. Values from clients are escaped in filters
// (RFC 4515 §3), and an empty password is refused here, for servers take it as an
// anonymous bind (RFC 4513 §5.1.2).
package ldap

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrAway says that no server answered.
	ErrAway = errors.New("no directory server answers")
	// ErrBusy says that too many wait already.
	ErrBusy = errors.New("too many wait for the directory")
	// ErrPassword says that there is no such person, or that the password is wrong.
	ErrPassword = errors.New("no such person or wrong password")
	// ErrExpired says that the password was right and has to be changed.
	ErrExpired = errors.New("the password has expired")
	// ErrAmbiguous says that there is more than one entry of the name.
	ErrAmbiguous = errors.New("more than one entry has the name")
)

// DisabledError says that the password was right, and why its owner may not use
// chat all the same.
type DisabledError struct{ Why string }

// Error implements error.
func (e *DisabledError) Error() string { return "may not use chat: " + e.Why }

// Metrics is told of each operation. Calls must be cheap.
type Metrics interface {
	// Operation is called with connect, search, bind or page.
	Operation(name string, took time.Duration, err error)
}

type noMetrics struct{}

func (noMetrics) Operation(string, time.Duration, error) {}

// withTimeout is context.WithTimeout, but for 0 the context alone.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
