// Package oauth tells whose an OAuth 2 access token is, so that a desktop that
// has signed in to a company's single sign-on need not ask for a password again.
//
// A token is a JWT (RFC 7519, RFC 9068) signed by an OpenID provider, the issuer.
// [Service.Check] verifies it with the issuer's public keys, which are found by
// OpenID Connect Discovery, at a URL or in a file, and heeds RFC 8725: the
// signature's algorithm is one of a list and fits the key, issuer and audience
// are compared exactly, and tokens that are bound to a key of their holder are
// refused, since a client could not prove here that it has the key.
//
// Checking needs no network. [Service.Run] fetches the keys, again and again, and
// when a token names a key that is not known; how often is bounded, so nobody who
// makes up tokens can have an issuer asked without end. While an issuer is away
// the keys it had are good for [Issuer.KeepKeys].
//
//	s, err := oauth.New(oauth.Config{Issuers: issuers, Log: log})
//	go s.Run(ctx)
//	holder, err := s.Check(ctx, "example.com", token)
//
// go-jose does the JOSE part: it has no dependencies, wants the algorithms named
// at parsing, reads JSON with exact and single names, and is kept by those who run
// a public CA with it (Apache 2).
package oauth

import (
	"log/slog"
	"time"
)

// MaxToken is the largest token in bytes.
const MaxToken = 16 << 10

// Issuer is an OpenID provider whose tokens are taken.
type Issuer struct {
	Name        string        // the claim iss, compared byte by byte
	Domains     []string      // whose users it vouches for; the first has those without a domain
	Audience    []string      // of which a token must name one
	JWKSURL     string        // of the keys; "" = found by discovery
	JWKSFile    string        // of the keys, in place of a URL
	CAFile      string        // PEM of those who sign the issuer's certificate; "" = the system's
	Algorithms  []string      // of signatures
	UserClaim   string        // that names the user
	UserDomains []string      // in that claim which stand for Domains[0]
	Scopes      []string      // that a token must all have
	Claims      []string      // that a token must all have, as name=value
	Leeway      time.Duration // by which clocks may differ
	Refresh     time.Duration // between two looks at the keys
	KeepKeys    time.Duration // keys are good for so long after the last look that went well
	Create      bool          // accounts that are not there
	EndSessions bool          // when their token expires
}

// Config sets up a Service.
type Config struct {
	Issuers []Issuer
	// Refused is called for each token refused, with a word for the reason; may be nil.
	Refused func(reason string)
	// AskAgain is between two looks at an issuer's keys that tokens with unknown
	// ones cause; default 10 s.
	AskAgain time.Duration
	Log      *slog.Logger
}
