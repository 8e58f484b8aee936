package configs_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
)

const issuers = `
domains: [example.com, example.org]
auth:
  mechanisms: [OAUTHBEARER]
  oauth:
    - issuer: https://sso.example.com/realms/desk
      audience: [deskline]
      domains: [EXAMPLE.com]
      user_domains: [corp.example]
      claims: [realm_access.roles=agent]
    - {issuer: "http://127.0.0.1:8080", audience: [a, b], domains: [example.org], leeway: 30s, create: true}
`

func TestIssuers(t *testing.T) {
	cfg, err := configs.Parse([]byte(issuers))
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.Auth.OAuth
	if len(got) != 2 || got[0].Domains[0] != "example.com" || got[0].UserClaim != "preferred_username" || got[0].KeepKeys != 24*time.Hour ||
		got[0].Claims[0] != "realm_access.roles=agent" || !got[1].Create || got[1].Leeway != 30*time.Second || len(got[1].Algorithms) != 4 {
		t.Fatalf("%+v", got)
	}
	var out strings.Builder
	if err := cfg.Print(&out); err != nil {
		t.Fatal(err)
	}
	again, err := configs.Parse([]byte(out.String()))
	if err != nil || !reflect.DeepEqual(again.Auth.OAuth, got) {
		t.Errorf("read again: %v\n%s", err, out.String())
	}
	t.Setenv("DESKLINE_AUTH_OAUTH", `[{issuer: "https://a.example", audience: [x], scopes: [chat]}]`)
	cfg, err = configs.Parse(nil)
	if err != nil || len(cfg.Auth.OAuth) != 1 || cfg.Auth.OAuth[0].Scopes[0] != "chat" || cfg.Auth.OAuth[0].AllDomains(cfg)[0] != "localhost" {
		t.Errorf("from the environment: %+v %v", cfg.Auth.OAuth, err)
	}
}

func TestIssuersRefused(t *testing.T) {
	const good = "auth: {oauth: [{issuer: 'https://a.example', audience: [x], "
	for name, tt := range map[string]struct{ file, want string }{
		"no audience":          {"auth: {oauth: [{issuer: 'https://a.example'}]}", "auth.oauth[0].audience: is missing"},
		"no issuer":            {"auth: {oauth: [{audience: [x]}]}", "auth.oauth[0].issuer: is missing"},
		"not safe":             {"auth: {oauth: [{issuer: 'http://a.example', audience: [x]}]}", "auth.oauth[0].issuer: http://a.example is not safe"},
		"no address":           {"auth: {oauth: [{issuer: 'a.example', audience: [x]}]}", "auth.oauth[0].issuer: \"a.example\" is no address"},
		"unknown key":          {"auth:\n  oauth:\n    - issuer: https://a.example\n      audiense: [x]\n      audience: [x]\n", "auth.oauth[0].audiense: unknown key, did you mean audience? (line 4)"},
		"keys not safe":        {good + "jwks_url: 'http://b.example'}]}", "auth.oauth[0].jwks_url: http://b.example is not safe"},
		"two sources":          {good + "jwks_url: 'https://b.example', jwks_file: f}]}", "auth.oauth[0].jwks_file: jwks_url is set too"},
		"no signature":         {good + "algorithms: [none]}]}", "auth.oauth[0].algorithms: \"none\" is none of"},
		"symmetric":            {good + "algorithms: [HS256]}]}", "auth.oauth[0].algorithms: \"HS256\" is none of"},
		"claim":                {good + "claims: [groups]}]}", "auth.oauth[0].claims: \"groups\" is no claim"},
		"scope":                {good + "scopes: ['a b']}]}", "auth.oauth[0].scopes"},
		"leeway":               {good + "leeway: 1h}]}", "auth.oauth[0].leeway: 1h is above 5m"},
		"no unit":              {good + "leeway: 1}]}", "auth.oauth[0].leeway: 1 has no unit"},
		"domain":               {good + "domains: [b.example]}]}", "auth.oauth[0].domains: \"b.example\" is none of domains"},
		"user domain":          {good + "user_domains: [localhost]}]}", "auth.oauth[0].user_domains: localhost is one of domains"},
		"twice":                {good + "}, {issuer: 'https://a.example', audience: [y]}]}", "auth.oauth[1].issuer: https://a.example is there twice for localhost"},
		"no list":              {"auth: {oauth: {issuer: x}}", "auth.oauth: is no list"},
		"no keys":              {"auth: {oauth: [x]}", "auth.oauth[0]: has no keys"},
		"mechanism without it": {"auth: {mechanisms: [OAUTHBEARER]}", "auth.mechanisms: OAUTHBEARER needs auth.oauth"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := configs.Parse([]byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
