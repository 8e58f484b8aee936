package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/sasl"
)

// Check returns whose a token is that a client of a domain has. The error is a
// *sasl.Refusal or a *sasl.Failure, or that of ctx.
func (s *Service) Check(ctx context.Context, domain, token string) (auth.Holder, error) {
	set, _ := s.current()
	candidates := set.byDomain[domain]
	i, holder, err := check(ctx, candidates, domain, token, time.Now)
	if err == nil {
		return holder, nil
	}
	if ctx.Err() != nil {
		return auth.Holder{}, ctx.Err()
	}
	if i == nil && len(candidates) > 0 {
		i = candidates[0]
	}
	bad, ok := errors.AsType[*refused](err)
	if !ok {
		bad = &refused{reason: reasonUnavailable, err: err}
	}
	s.refused(bad.reason.word)
	return auth.Holder{}, bad.answer(i)
}

// check also returns the issuer that a token says to be from, if it is one of
// the candidates.
func check(ctx context.Context, candidates []*issuer, domain, token string, clock func() time.Time) (*issuer, auth.Holder, error) {
	var holder auth.Holder
	jws, head, err := parse(token)
	if err != nil {
		return nil, holder, err
	}
	c, err := parsePayload(jws.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, holder, refuse(reasonMalformed, "%w", err)
	}
	at := slices.IndexFunc(candidates, func(i *issuer) bool { return i.Name == c.text("iss") })
	if at < 0 {
		return nil, holder, refuse(reasonIssuer, "issuer %.200q is none of this domain's", c.text("iss"))
	}
	i := candidates[at]
	if !slices.Contains(i.Algorithms, head.Algorithm) {
		return i, holder, refuse(reasonAlgorithm, "algorithm %s is not allowed", head.Algorithm)
	}
	k, err := i.ring.find(ctx, head.KeyID, head.Algorithm)
	switch {
	case errors.Is(err, errUnknownKey):
		return i, holder, refuse(reasonKey, "key %.100q for %s: %w", head.KeyID, head.Algorithm, err)
	case err != nil:
		return i, holder, err
	}
	if _, err := jws.Verify(k.public); err != nil {
		return i, holder, refuse(reasonSignature, "the signature is wrong")
	}
	// What follows was written by the issuer.
	if err := i.checkClaims(c, clock()); err != nil {
		return i, holder, err
	}
	if holder.JID, err = i.user(c); err != nil {
		return i, holder, err
	}
	if holder.JID.Domain() != domain {
		return i, holder, refuse(reasonDomain, "the user is of domain %s, the client signs in to %s", holder.JID.Domain(), domain)
	}
	holder.Create, holder.Name = i.Create, short(c.text("name"))
	if i.EndSessions {
		if exp, _, err := c.time("exp"); err == nil {
			holder.Until = exp.Add(i.Leeway)
		}
	}
	if c["email_verified"] != false {
		holder.Email = short(c.text("email"))
	}
	return i, holder, nil
}

// parse reads the outer form of a token and what can be said of its header.
func parse(token string) (*jose.JSONWebSignature, jose.Header, error) {
	var head jose.Header
	switch {
	case token == "":
		return nil, head, refuse(reasonNone, "the client has no token")
	case len(token) > MaxToken:
		return nil, head, refuse(reasonMalformed, "it has %d bytes, more than %d", len(token), MaxToken)
	case strings.Count(token, ".") == 4:
		return nil, head, refuse(reasonMalformed, "it is encrypted, for another to read")
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if wrong, ok := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); ok {
		return nil, head, refuse(reasonAlgorithm, "algorithm %.50q is not allowed", string(wrong.Got))
	}
	if err != nil || len(jws.Signatures) != 1 {
		return nil, head, refuse(reasonMalformed, "it is no JWT")
	}
	head = jws.Signatures[0].Protected
	if _, ok := head.ExtraHeaders["crit"]; ok {
		return nil, head, refuse(reasonMalformed, "it has extensions that must be understood")
	}
	// A JWT of another kind is no access token (RFC 8725 §3.11).
	typ, _ := head.ExtraHeaders[jose.HeaderType].(string)
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "at+jwt":
		return jws, head, nil
	}
	return nil, head, refuse(reasonType, "it is of type %.50q", typ)
}

// checkClaims looks at all but the user.
func (i *issuer) checkClaims(c claims, now time.Time) error {
	if err := i.checkTimes(c, now); err != nil {
		return err
	}
	if !slices.ContainsFunc(texts(c["aud"]), func(a string) bool { return slices.Contains(i.Audience, a) }) {
		return refuse(reasonAudience, "audience %.200q is none of %s", texts(c["aud"]), strings.Join(i.Audience, ", "))
	}
	// Keycloak says what kind of token it is in a claim.
	if typ := c.text("typ"); slices.Contains([]string{"Refresh", "Offline", "Logout"}, typ) {
		return refuse(reasonUse, "it is of type %q", typ)
	}
	if _, ok := c["cnf"]; ok {
		return refuse(reasonBound, "it is bound to a key that the client cannot show here")
	}
	have := c.scopes()
	for _, want := range i.Scopes {
		if !slices.Contains(have, want) {
			return refuse(reasonScope, "scope %s is missing", want)
		}
	}
	for _, want := range i.claims {
		if !want.in(c) {
			return refuse(reasonClaim, "claim %s=%s is missing", want.name, want.value)
		}
	}
	return nil
}

func (i *issuer) checkTimes(c claims, now time.Time) error {
	exp, ok, err := c.time("exp")
	switch {
	case err != nil:
		return refuse(reasonContent, "%w", err)
	case !ok:
		return refuse(reasonContent, "it never expires")
	case !now.Before(exp.Add(i.Leeway)):
		return refuse(reasonExpired, "it expired %s ago", now.Sub(exp).Round(time.Second))
	}
	for _, name := range []string{"nbf", "iat"} {
		t, ok, err := c.time(name)
		if err != nil {
			return refuse(reasonContent, "%w", err)
		}
		if ok && t.After(now.Add(i.Leeway)) {
			return refuse(reasonEarly, "%s is %s ahead; are the clocks right?", name, t.Sub(now).Round(time.Second))
		}
	}
	return nil
}

// short bounds a text for an account.
func short(s string) string {
	if len(s) > 256 {
		return ""
	}
	return s
}

// reason is why a token is refused.
type reason struct {
	word   string // for metrics
	text   string // for the client
	forged bool   // nothing says that the issuer has made the token
}

var (
	reasonNone        = &reason{"none", "a token is needed", false}
	reasonMalformed   = &reason{"malformed", "the token is not valid", true}
	reasonType        = &reason{"type", "the token is of another kind", true}
	reasonIssuer      = &reason{"issuer", "the token is not from an issuer known here", true}
	reasonAlgorithm   = &reason{"algorithm", "the token is signed in a way that is not allowed", true}
	reasonKey         = &reason{"key", "the token is not valid", true}
	reasonSignature   = &reason{"signature", "the token is not valid", true}
	reasonContent     = &reason{"malformed", "the token is not valid", false}
	reasonUse         = &reason{"type", "the token is of another kind", false}
	reasonExpired     = &reason{"expired", "the token has expired", false}
	reasonEarly       = &reason{"early", "the token is not valid yet", false}
	reasonAudience    = &reason{"audience", "the token is for another service", false}
	reasonBound       = &reason{"bound", "the token is bound to a key", false}
	reasonScope       = &reason{"scope", "the token has not the scope that is needed", false}
	reasonClaim       = &reason{"claim", "this user may not use chat", false}
	reasonUser        = &reason{"user", "the token names no user of this server", false}
	reasonDomain      = &reason{"domain", "the token is for a user of another domain", false}
	reasonUnavailable = &reason{"unavailable", "tokens cannot be checked at the moment, try again later", false}
)

// refused is a refusal with its cause, which has nothing of the token that
// somebody could use.
type refused struct {
	reason *reason
	err    error
}

func refuse(r *reason, format string, args ...any) error {
	return &refused{r, fmt.Errorf(format, args...)}
}

// Error implements error.
func (r *refused) Error() string { return r.reason.word + ": " + r.err.Error() }

// Unwrap returns the cause.
func (r *refused) Unwrap() error { return r.err }

// Is reports whether it is auth.ErrForged.
func (r *refused) Is(target error) bool { return r.reason.forged && target == auth.ErrForged }

// answer makes of it what the client is told; i may be nil.
func (r *refused) answer(i *issuer) error {
	cause := fmt.Errorf("token refused: %w", r)
	if i != nil {
		cause = fmt.Errorf("token refused, issuer %s: %w", i.Name, r)
	}
	f := &sasl.Failure{Condition: sasl.NotAuthorized, Text: r.reason.text, Cause: cause}
	out := &sasl.Refusal{Status: sasl.InvalidToken, Failure: f}
	switch r.reason {
	case reasonUnavailable:
		f.Condition = sasl.TemporaryAuthFailure
		return f
	case reasonExpired:
		f.Condition = sasl.CredentialsExpired
	case reasonScope:
		out.Status = sasl.InsufficientScope
	}
	if i != nil {
		out.Scope = strings.Join(i.Scopes, " ")
		if i.JWKSURL == "" && i.JWKSFile == "" {
			out.Discovery = discovery(i.Name)
		}
	}
	return out
}
