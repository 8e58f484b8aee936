package app

import (
	"context"
	"fmt"
	"time"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/oauth"
)

// buildOAuth has accounts sign in by token. It is there without issuers, too: a
// reload may bring some.
func (n *node) buildOAuth() error {
	var err error
	n.oauth, err = oauth.New(oauth.Config{Issuers: issuers(n.cfg), Refused: n.metrics.TokenRefused, Log: n.log})
	if err != nil {
		return fmt.Errorf("auth.oauth: %w", err)
	}
	n.accounts.SetTokens(n.oauth)
	return nil
}

func issuers(cfg configs.Config) []oauth.Issuer {
	list := make([]oauth.Issuer, len(cfg.Auth.OAuth))
	for at, i := range cfg.Auth.OAuth {
		list[at] = oauth.Issuer{
			Name: i.Issuer, Domains: i.AllDomains(cfg), Audience: i.Audience, JWKSURL: i.JWKSURL, JWKSFile: i.JWKSFile, CAFile: i.CAFile,
			Algorithms: i.Algorithms, UserClaim: i.UserClaim, UserDomains: i.UserDomains, Scopes: i.Scopes, Claims: i.Claims,
			Leeway: i.Leeway, Refresh: i.Refresh, KeepKeys: i.KeepKeys, Create: i.Create, EndSessions: i.EndSessions,
		}
	}
	return list
}

// oauthMetrics tell of the keys of issuers.
func (n *node) oauthMetrics() []admin.Labelled {
	read := func(value func(oauth.Keys) float64) func(emit func(float64, ...string)) {
		return func(emit func(float64, ...string)) {
			for _, k := range n.oauth.Keys() {
				if k.Age >= 0 {
					emit(value(k), k.Issuer, k.Domain)
				}
			}
		}
	}
	labels := []string{"issuer", "domain"}
	return []admin.Labelled{
		{
			Name: "deskline_oauth_keys", Help: "Keys of an issuer of tokens that can be used now.", Labels: labels,
			Read: read(func(k oauth.Keys) float64 { return float64(k.Count) }),
		},
		{
			Name: "deskline_oauth_keys_age_seconds", Help: "Time since the keys of an issuer of tokens were last had from it.", Labels: labels,
			Read: read(func(k oauth.Keys) float64 { return k.Age.Seconds() }),
		},
	}
}

// skewWarning is a difference of clocks that is told of.
const skewWarning = 10 * time.Second

// checkIssuers looks at the keys of each issuer.
func checkIssuers(ctx context.Context, cfg configs.Config) []CheckResult {
	results := make([]CheckResult, len(cfg.Auth.OAuth))
	for at, i := range issuers(cfg) {
		r := &results[at]
		r.Name = fmt.Sprintf("auth.oauth[%d]", at)
		report, err := oauth.Inspect(ctx, i)
		if r.Err = err; err != nil {
			continue
		}
		r.Detail = fmt.Sprintf("%s, %d keys in %s", i.Name, report.Keys, report.Where)
		if !report.Timed {
			continue
		}
		r.Detail += ", clocks differ by " + report.Skew.Abs().String()
		if report.Skew.Abs() >= skewWarning {
			which := "ahead of"
			if report.Skew < 0 {
				which = "behind"
			}
			r.Warning = fmt.Sprintf("the issuer's clock is %s %s this one; tokens are refused beyond leeway, %s", report.Skew.Abs(), which, i.Leeway)
		}
	}
	return results
}
