package sasl_test

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"errors"
	"hash"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

var alice = jid.MustParse("alice@example.com")

// fake knows one user with one password.
type fake struct {
	mech     string
	password string
	err      error
	authzid  string
}

func (f *fake) Keys(_ context.Context, user string) (sasl.Keys, error) {
	if f.err != nil {
		return sasl.Keys{}, f.err
	}
	password := f.password
	if user != "alice" {
		password = "nobody's"
	}
	return derive(f.mech, password), nil
}

func (f *fake) Prove(_ context.Context, user, authzid string, proof func() bool) (jid.JID, error) {
	f.authzid = authzid
	if !proof() || user != "alice" {
		return jid.JID{}, sasl.NewFailure(sasl.NotAuthorized, "")
	}
	return alice, nil
}

func (f *fake) Verify(_ context.Context, user, authzid, password string) (jid.JID, error) {
	f.authzid = authzid
	if f.err != nil {
		return jid.JID{}, f.err
	}
	if user != "alice" || password != f.password {
		return jid.JID{}, sasl.NewFailure(sasl.NotAuthorized, "")
	}
	return alice, nil
}

func derive(mech, password string) sasl.Keys {
	h := sasl.Hash(mech)
	salt := []byte("0123456789abcdef")
	salted, _ := pbkdf2.Key(h, password, salt, 4096, h().Size())
	stored := h()
	stored.Write(mac(h, salted, "Client Key"))
	return sasl.Keys{Salt: salt, Iterations: 4096, StoredKey: stored.Sum(nil), ServerKey: mac(h, salted, "Server Key")}
}

func mac(h func() hash.Hash, key []byte, msg string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(msg))
	return m.Sum(nil)
}

func TestSCRAM(t *testing.T) {
	hashes := map[string]scram.HashGeneratorFcn{
		sasl.ScramSHA1: scram.SHA1, sasl.ScramSHA256: scram.SHA256, sasl.ScramSHA512: scram.SHA512,
	}
	tests := []struct {
		name, user, password, authzid string
		early                         bool // the client sends nothing with <auth/>
		want                          string
	}{
		{name: "right password", user: "alice", password: "pencil"},
		{name: "right password, asked first", user: "alice", password: "pencil", early: true},
		{name: "authzid is passed on", user: "alice", password: "pencil", authzid: "alice@example.com,=x"},
		{name: "wrong password", user: "alice", password: "pen", want: sasl.NotAuthorized},
		{name: "unknown user", user: "eve", password: "pencil", want: sasl.NotAuthorized},
		{name: "unknown user with odd name", user: "e=v,e", password: "pencil", want: sasl.NotAuthorized},
	}
	for mech, gen := range hashes {
		for _, tt := range tests {
			t.Run(mech+"/"+tt.name, func(t *testing.T) {
				v := &fake{mech: mech, password: "pencil"}
				ex, ok := sasl.NewSCRAM(mech, v)
				if !ok {
					t.Fatal("mechanism is unknown")
				}
				client, err := gen.NewClient(tt.user, tt.password, tt.authzid)
				if err != nil {
					t.Fatal(err)
				}
				conv := client.NewConversation()
				got := converse(t, ex, conv, tt.early)
				if got != tt.want {
					t.Fatalf("condition %q, want %q", got, tt.want)
				}
				if tt.want != "" {
					return
				}
				if ex.Identity() != alice || !conv.Valid() || v.authzid != tt.authzid {
					t.Fatalf("identity %v, client content %v, authzid %q", ex.Identity(), conv.Valid(), v.authzid)
				}
				if _, _, err := ex.Step(t.Context(), []byte("x")); condition(err) != sasl.MalformedRequest {
					t.Fatalf("step after the end: %v", err)
				}
			})
		}
	}
}

// converse runs an exchange and returns the condition it failed with.
func converse(t *testing.T, ex sasl.Exchange, conv *scram.ClientConversation, early bool) string {
	t.Helper()
	if early {
		challenge, done, err := ex.Step(t.Context(), nil)
		if challenge == nil || len(challenge) != 0 || done || err != nil {
			t.Fatalf("empty start: %q, %v, %v", challenge, done, err)
		}
	}
	in := ""
	for {
		out, err := conv.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		challenge, done, err := ex.Step(t.Context(), []byte(out))
		if err != nil {
			return condition(err)
		}
		in = string(challenge)
		if done {
			if _, err := conv.Step(in); err != nil {
				t.Fatal(err)
			}
			return ""
		}
	}
}

func condition(err error) string {
	if f, ok := errors.AsType[*sasl.Failure](err); ok {
		return f.Condition
	}
	return ""
}

func TestSCRAMFirstMessageRefused(t *testing.T) {
	tests := map[string]string{
		"empty":                     "",
		"no header":                 "n=alice,r=abc",
		"channel binding":           "p=tls-exporter,,n=alice,r=abc",
		"unknown flag":              "x,,n=alice,r=abc",
		"no authzid field":          "n,n=alice,r=abc",
		"bad authzid":               "n,alice,n=alice,r=abc",
		"badly encoded authzid":     "n,a=a=zz,n=alice,r=abc",
		"no user":                   "n,,n=,r=abc",
		"badly encoded user":        "n,,n=al=ice,r=abc",
		"user ends in an equals":    "n,,n=alice=,r=abc",
		"user with NUL":             "n,,n=al\x00ice,r=abc",
		"user is not UTF-8":         "n,,n=\xff,r=abc",
		"mandatory extension":       "n,,m=x,n=alice,r=abc",
		"no nonce":                  "n,,n=alice",
		"empty nonce":               "n,,n=alice,r=",
		"nonce with control":        "n,,n=alice,r=a\tb",
		"nonce outside ASCII":       "n,,n=alice,r=ä",
		"longer than any may be":    "n,,n=alice,r=" + strings.Repeat("x", sasl.MaxMessage),
		"user where the nonce goes": "n,,n=alice,n=bob,r=abc",
	}
	for name, msg := range tests {
		t.Run(name, func(t *testing.T) {
			ex, _ := sasl.NewSCRAM(sasl.ScramSHA256, &fake{mech: sasl.ScramSHA256})
			if _, done, err := ex.Step(t.Context(), []byte(msg)); condition(err) != sasl.MalformedRequest || done {
				t.Fatalf("done %v, error %v", done, err)
			}
		})
	}
}

func TestSCRAMFinalMessageRefused(t *testing.T) {
	tests := []struct{ name, format, want string }{
		{"empty", "", sasl.MalformedRequest},
		{"no proof", "c=biws,r=NONCE", sasl.MalformedRequest},
		{"proof is not base64", "c=biws,r=NONCE,p=*", sasl.MalformedRequest},
		{"proof is short", "c=biws,r=NONCE,p=AAAA", sasl.NotAuthorized},
		{"proof is empty", "c=biws,r=NONCE,p=", sasl.NotAuthorized},
		{"other binding", "c=eSws,r=NONCE,p=AAAA", sasl.MalformedRequest},
		{"no binding", "r=NONCE,p=AAAA", sasl.MalformedRequest},
		{"other nonce", "c=biws,r=NONCEx,p=AAAA", sasl.MalformedRequest},
		{"client nonce alone", "c=biws,r=abc,p=AAAA", sasl.MalformedRequest},
		{"nothing", "nil", sasl.MalformedRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ex, _ := sasl.NewSCRAM(sasl.ScramSHA1, &fake{mech: sasl.ScramSHA1, password: "pencil"})
			challenge, _, err := ex.Step(t.Context(), []byte("n,,n=alice,r=abc"))
			if err != nil {
				t.Fatal(err)
			}
			nonce, _, _ := strings.Cut(strings.TrimPrefix(string(challenge), "r="), ",")
			if !strings.HasPrefix(nonce, "abc") || len(nonce) < 20 {
				t.Fatalf("nonce %q", nonce)
			}
			msg := []byte(strings.ReplaceAll(tt.format, "NONCE", nonce))
			if tt.format == "nil" {
				msg = nil
			}
			if _, _, err := ex.Step(t.Context(), msg); condition(err) != tt.want {
				t.Fatalf("error %v, want %s", err, tt.want)
			}
			if !ex.Identity().IsZero() {
				t.Fatal("identity after failure")
			}
		})
	}
}

func TestPlain(t *testing.T) {
	tests := []struct{ name, msg, want, authzid string }{
		{"right", "\x00alice\x00pencil", "", ""},
		{"with authzid", "alice@example.com\x00alice\x00pencil", "", "alice@example.com"},
		{"wrong password", "\x00alice\x00pen", sasl.NotAuthorized, ""},
		{"empty", "", sasl.MalformedRequest, ""},
		{"two parts", "alice\x00pencil", sasl.MalformedRequest, ""},
		{"four parts", "\x00alice\x00pencil\x00", sasl.MalformedRequest, ""},
		{"no user", "\x00\x00pencil", sasl.MalformedRequest, ""},
		{"no password", "\x00alice\x00", sasl.MalformedRequest, ""},
		{"not UTF-8", "\x00alice\x00\xff", sasl.MalformedRequest, ""},
		{"long", "\x00alice\x00" + strings.Repeat("x", sasl.MaxMessage), sasl.MalformedRequest, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := &fake{password: "pencil"}
			ex := sasl.NewPlain(v)
			if c, done, err := ex.Step(t.Context(), nil); c == nil || done || err != nil {
				t.Fatalf("empty start: %v, %v, %v", c, done, err)
			}
			_, done, err := ex.Step(t.Context(), []byte(tt.msg))
			if condition(err) != tt.want || done != (tt.want == "") || v.authzid != tt.authzid {
				t.Fatalf("done %v, error %v, authzid %q", done, err, v.authzid)
			}
			if done != (ex.Identity() == alice) {
				t.Fatalf("identity %v", ex.Identity())
			}
		})
	}
}

func TestStoreTroubleIsTemporary(t *testing.T) {
	cause := errors.New("disk on fire")
	ex := sasl.NewPlain(&fake{err: cause})
	_, _, err := ex.Step(t.Context(), []byte("\x00alice\x00x"))
	if condition(err) != sasl.TemporaryAuthFailure || !errors.Is(err, cause) {
		t.Fatal(err)
	}
	xml := string(err.(*sasl.Failure).AppendXML(nil)) //nolint:errorlint // checked above
	if want := "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/></failure>"; xml != want {
		t.Fatalf("%s", xml)
	}
}

func TestFailureXML(t *testing.T) {
	got := string(sasl.NewFailure(sasl.NotAuthorized, "a<b").AppendXML(nil))
	want := "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/><text xml:lang='en'>a&lt;b</text></failure>"
	if got != want {
		t.Fatalf("%s", got)
	}
}

func TestBase64(t *testing.T) {
	tests := []struct {
		name, text, want string
		initial, none    bool
		condition        string
	}{
		{name: "no initial response", text: "", initial: true, none: true},
		{name: "empty initial response", text: "=", initial: true},
		{name: "empty response", text: ""},
		{name: "empty response, marked", text: "="},
		{name: "data", text: "AGFsaWNl", want: "\x00alice"},
		{name: "whitespace", text: "AGFs aWNl", condition: sasl.IncorrectEncoding},
		{name: "no padding", text: "AGE", condition: sasl.IncorrectEncoding},
		{name: "stray bits", text: "AGF=", condition: sasl.IncorrectEncoding},
		{name: "long", text: strings.Repeat("AAAA", sasl.MaxBearer), condition: sasl.MalformedRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			decode := sasl.Decode
			if tt.initial {
				decode = sasl.DecodeInitial
			}
			got, err := decode(tt.text)
			if condition(err) != tt.condition || string(got) != tt.want {
				t.Fatalf("%q, %v", got, err)
			}
			if err == nil && (got == nil) != tt.none {
				t.Fatalf("nil: %v", got == nil)
			}
		})
	}
	if got := sasl.Encode(nil) + sasl.Encode([]byte{}) + sasl.Encode([]byte("\x00alice")); got != "=AGFsaWNl" {
		t.Fatalf("encoded %q", got)
	}
}

func TestPreparePassword(t *testing.T) {
	tests := []struct {
		name, in, want string
		bad            bool
	}{
		{name: "ASCII", in: "correct horse", want: "correct horse"},
		{name: "compatibility form", in: "\u2168", want: "IX"},
		{name: "soft hyphen is dropped", in: "I\u00adX", want: "IX"},
		{name: "newer than the profile", in: "🐎🔋", want: "🐎🔋"},
		{name: "empty", in: "", bad: true},
		{name: "NUL", in: "a\x00b", bad: true},
		{name: "line feed", in: "a\nb", bad: true},
		{name: "not UTF-8", in: "\xff", bad: true},
		{name: "long", in: strings.Repeat("x", sasl.MaxPassword+1), bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sasl.PreparePassword(tt.in)
			if got != tt.want || tt.bad != errors.Is(err, sasl.ErrPassword) {
				t.Fatalf("%q, %v", got, err)
			}
		})
	}
}

func FuzzExchange(f *testing.F) {
	f.Add([]byte("n,,n=alice,r=abc"), []byte("c=biws,r=abc,p=AAAA"))
	f.Add([]byte("y,a=b,n=a=2Cb,r=abc,x=y"), []byte("c=eSxhPWIs,r=abc,x=y,p="))
	f.Add([]byte("\x00alice\x00pencil"), []byte{})
	f.Fuzz(func(t *testing.T, first, final []byte) {
		ex, _ := sasl.NewSCRAM(sasl.ScramSHA1, &cheap{})
		challenge, done, err := ex.Step(t.Context(), first)
		if done || err == nil && challenge == nil {
			t.Fatalf("%q, %v", challenge, done)
		}
		if err == nil {
			if _, done, err = ex.Step(t.Context(), final); done || err == nil {
				t.Fatal("signed in without the password")
			}
		}
		ex = sasl.NewPlain(&cheap{})
		if _, done, err = ex.Step(t.Context(), first); done != (err == nil) && first != nil {
			t.Fatalf("done %v, error %v", done, err)
		}
		if text := sasl.Encode(first); first != nil && len(first) <= sasl.MaxMessage {
			back, err := sasl.DecodeInitial(text)
			if err != nil || string(back) != string(first) {
				t.Fatalf("%q came back as %q, %v", first, back, err)
			}
		}
	})
}

// cheap is a verifier that derives nothing.
type cheap struct{ fake }

func (*cheap) Keys(context.Context, string) (sasl.Keys, error) {
	return sasl.Keys{Salt: []byte("salt"), Iterations: 1, StoredKey: make([]byte, 20), ServerKey: make([]byte, 20)}, nil
}
