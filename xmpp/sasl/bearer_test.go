package sasl_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

// tokens knows one good token.
type tokens struct {
	err            error
	authzid, token string
}

func (v *tokens) VerifyToken(_ context.Context, authzid, token string) (jid.JID, time.Time, error) {
	v.authzid, v.token = authzid, token
	if v.err != nil {
		return jid.JID{}, time.Time{}, v.err
	}
	if token != "good" {
		return jid.JID{}, time.Time{}, refusal(sasl.NotAuthorized)
	}
	return alice, time.Unix(1, 0), nil
}

func refusal(condition string) error {
	return &sasl.Refusal{
		Status: sasl.InvalidToken, Scope: "chat", Discovery: "https://sso.example/.well-known/openid-configuration",
		Failure: sasl.NewFailure(condition, ""),
	}
}

func TestBearer(t *testing.T) {
	tests := []struct{ name, msg, authzid, token string }{
		{"example of RFC 7628 §4.1", "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer good\x01\x01", "user@example.com", "good"},
		{"no authzid", "n,,\x01auth=Bearer good\x01\x01", "", "good"},
		{"client could bind", "y,,\x01auth=Bearer good\x01\x01", "", "good"},
		{"encoded authzid", "n,a=a=2Cb=3Dc,\x01auth=Bearer good\x01\x01", "a,b=c", "good"},
		{"authzid as Stanza.js has it", "n,alice@example.com,\x01auth=Bearer good\x01\x01", "alice@example.com", "good"},
		{"kind in small letters", "n,,\x01auth=bearer  good \x01\x01", "", "good"},
		{"unknown keys", "n,,\x01x=\x01auth=Bearer good\x01qs=a=b\t\r\n c\x01\x01", "", "good"},
		{"no auth, to ask where to get a token", "n,a=user@example.com,\x01\x01", "user@example.com", ""},
		{"empty auth", "n,,\x01auth=\x01\x01", "", ""},
		{"no token", "n,,\x01auth=Bearer \x01\x01", "", ""},
		{"longest", "n,,\x01auth=Bearer " + strings.Repeat("x", sasl.MaxBearer-18) + "\x01\x01", "", strings.Repeat("x", sasl.MaxBearer-18)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := &tokens{}
			ex := sasl.NewBearer(v)
			if c, done, err := ex.Step(t.Context(), nil); c == nil || len(c) != 0 || done || err != nil {
				t.Fatalf("empty start: %v, %v, %v", c, done, err)
			}
			_, done, err := ex.Step(t.Context(), []byte(tt.msg))
			if err != nil || v.authzid != tt.authzid || v.token != tt.token {
				t.Fatalf("%v, authzid %q, token %q", err, v.authzid, v.token)
			}
			if good := tt.token == "good"; done != good || (ex.Identity() == alice) != good || ex.(sasl.Limited).Until().IsZero() == good {
				t.Fatalf("done %v, identity %v", done, ex.Identity())
			}
		})
	}
}

func TestBearerMalformed(t *testing.T) {
	const auth = "auth=Bearer good"
	for name, msg := range map[string]string{
		"empty":                    "",
		"dummy response at once":   "\x01",
		"no header":                "\x01" + auth + "\x01\x01",
		"channel binding":          "p=tls-exporter,,\x01" + auth + "\x01\x01",
		"unknown flag":             "F,n,,\x01" + auth + "\x01\x01",
		"more header":              "n,,x\x01" + auth + "\x01\x01",
		"one comma":                "n,\x01" + auth + "\x01\x01",
		"bad authzid":              "n,a==2D,\x01" + auth + "\x01\x01",
		"empty authzid":            "n,a=,\x01" + auth + "\x01\x01",
		"no end":                   "n,,\x01" + auth + "\x01",
		"no end at all":            "n,,\x01" + auth,
		"more behind the end":      "n,,\x01" + auth + "\x01\x01x",
		"pair without a sign":      "n,,\x01auth\x01\x01",
		"pair without a key":       "n,,\x01=x\x01\x01",
		"key with a digit":         "n,,\x01a1=x\x01" + auth + "\x01\x01",
		"value with a control":     "n,,\x01host=a\x02\x01" + auth + "\x01\x01",
		"value outside ASCII":      "n,,\x01host=ä\x01" + auth + "\x01\x01",
		"two tokens":               "n,,\x01" + auth + "\x01" + auth + "\x01\x01",
		"other kind":               "n,,\x01auth=Basic Z29vZA==\x01\x01",
		"token with a space":       "n,,\x01auth=Bearer go od\x01\x01",
		"token with a line feed":   "n,,\x01auth=Bearer go\nod\x01\x01",
		"not UTF-8":                "n,a=\xff,\x01" + auth + "\x01\x01",
		"too many keys":            "n,,\x01" + strings.Repeat("x=y\x01", 17) + "\x01",
		"longer than any may be":   "n,,\x01" + auth + strings.Repeat("x", sasl.MaxBearer) + "\x01\x01",
		"empty pair in the middle": "n,,\x01host=a\x01\x01" + auth + "\x01\x01",
	} {
		t.Run(name, func(t *testing.T) {
			v := &tokens{}
			ex := sasl.NewBearer(v)
			if _, done, err := ex.Step(t.Context(), []byte(msg)); done || condition(err) != sasl.MalformedRequest || v.token != "" {
				t.Fatalf("done %v, %v, token %q", done, err, v.token)
			}
			if _, done, err := ex.Step(t.Context(), []byte("n,,\x01auth=Bearer good\x01\x01")); done || err == nil {
				t.Fatal("a second attempt in the same exchange")
			}
		})
	}
}

func TestBearerRefused(t *testing.T) {
	bad, good := []byte("n,,\x01auth=Bearer bad\x01\x01"), []byte("n,,\x01auth=Bearer good\x01\x01")
	for name, response := range map[string][]byte{"as it should": []byte("\x01"), "the message again, as Strophe.js": bad, "another token": good, "nothing": nil} {
		t.Run(name, func(t *testing.T) {
			ex := sasl.NewBearer(&tokens{})
			challenge, done, err := ex.Step(t.Context(), bad)
			const want = `{"status":"invalid_token","scope":"chat","openid-configuration":"https://sso.example/.well-known/openid-configuration"}`
			if string(challenge) != want || done || err != nil {
				t.Fatalf("challenge %s, %v, %v", challenge, done, err)
			}
			if _, done, err = ex.Step(t.Context(), response); done || condition(err) != sasl.NotAuthorized {
				t.Fatalf("done %v, %v", done, err)
			}
			if _, done, err = ex.Step(t.Context(), good); done || condition(err) != sasl.MalformedRequest || !ex.Identity().IsZero() {
				t.Fatalf("after the end: %v, %v", done, err)
			}
		})
	}
	trouble := errors.New("issuer is away")
	for want, err := range map[string]error{
		sasl.CredentialsExpired:   refusal(sasl.CredentialsExpired),
		sasl.AccountDisabled:      sasl.NewFailure(sasl.AccountDisabled, ""),
		sasl.TemporaryAuthFailure: trouble,
	} {
		ex := sasl.NewBearer(&tokens{err: err})
		_, done, got := ex.Step(t.Context(), good)
		if got == nil {
			_, done, got = ex.Step(t.Context(), []byte("\x01"))
		}
		if done || condition(got) != want {
			t.Errorf("%s: %v, %v", want, done, got)
		}
	}
}

func FuzzBearer(f *testing.F) {
	f.Add([]byte("n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"))
	f.Add([]byte("n,,\x01auth=Bearer good\x01\x01"))
	f.Add([]byte("y,a=a=2Cb=3D,\x01\x01"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		v := &tokens{}
		ex := sasl.NewBearer(v)
		challenge, done, err := ex.Step(t.Context(), msg)
		if msg == nil {
			return
		}
		if outcomes := (challenge != nil) != done != (err != nil); !outcomes || done != (v.token == "good") {
			t.Fatalf("challenge %q, done %v, error %v", challenge, done, err)
		}
		if len(v.token) > len(msg) || strings.ContainsAny(v.token+v.authzid, "\x00\x01\r\n") {
			t.Fatalf("token %q, authzid %q", v.token, v.authzid)
		}
		if v.token == "" || v.token == "good" {
			return
		}
		again := &tokens{}
		text := "n," + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(v.authzid)
		if v.authzid != "" {
			text = "n,a=" + strings.TrimPrefix(text, "n,")
		}
		text += ",\x01auth=Bearer " + v.token + "\x01\x01"
		if len(text) <= sasl.MaxBearer {
			if _, _, err := sasl.NewBearer(again).Step(t.Context(), []byte(text)); err != nil || again.token != v.token || again.authzid != v.authzid {
				t.Fatalf("%q came back as %+v, %v", text, again, err)
			}
		}
	})
}
