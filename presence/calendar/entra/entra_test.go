package entra_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/entra"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// endpoint answers with what tests say; what was asked is in the channel.
func endpoint(t *testing.T, answer func(form url.Values) (int, string)) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, err := url.ParseQuery(string(body))
		if err != nil || r.Method != http.MethodPost {
			t.Errorf("%s %q: %v", r.Method, body, err)
		}
		status, text := answer(form)
		if status >= 400 {
			w.Header().Set("Retry-After", "7")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestOneTokenServesAll(t *testing.T) {
	var asked atomic.Int64
	server := endpoint(t, func(form url.Values) (int, string) {
		if form.Get("client_secret") != "hush" || form.Get("grant_type") != "client_credentials" || form.Get("scope") != "s/.default" || form.Get("client_id") != "app" {
			t.Errorf("%v", form)
		}
		return 200, fmt.Sprintf(`{"token_type":"Bearer","expires_in":%d,"access_token":"t%d"}`, 3600, asked.Add(1))
	})
	tokens, err := entra.New(entra.Config{URL: server.URL, ClientID: "app", Scope: "s/.default", SecretFile: write(t, "secret", "hush\n")})
	if err != nil {
		t.Fatal(err)
	}
	var g sync.WaitGroup
	for range 20 {
		g.Go(func() {
			if token, err := tokens.Token(t.Context()); err != nil || token != "t1" {
				t.Errorf("%s %v", token, err)
			}
		})
	}
	g.Wait()
	tokens.Refused("t0") // of long ago
	if token, err := tokens.Token(t.Context()); err != nil || token != "t1" {
		t.Errorf("%s %v", token, err)
	}
	tokens.Refused("t1")
	if token, err := tokens.Token(t.Context()); err != nil || token != "t2" {
		t.Errorf("%s %v", token, err)
	}
}

func TestRefusals(t *testing.T) {
	status, answer := 200, ""
	server := endpoint(t, func(url.Values) (int, string) { return status, answer })
	tokens, err := entra.New(entra.Config{URL: server.URL, ClientID: "app", SecretFile: write(t, "secret", "hush")})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		status       int
		answer, want string
	}{
		"wrong secret": {401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`, "401 invalid_client: AADSTS7000215"},
		"busy":         {503, "<html>", "503 Service Unavailable"},
		"no JSON":      {200, "<html>", "cannot be read"},
		"no token":     {200, `{"token_type":"Bearer"}`, "no bearer token"},
		"another type": {200, `{"token_type":"pop","access_token":"x"}`, "no bearer token"},
		"a bad token":  {200, `{"token_type":"Bearer","access_token":"x\r\nHost: y"}`, "no bearer token"},
		"endless":      {200, `{"access_token":"` + strings.Repeat("x", 300<<10) + `"}`, "cannot be read"},
		"elsewhere":    {302, "", "302 Found"},
	} {
		status, answer = tt.status, tt.answer
		_, err := tokens.Token(t.Context())
		var f *calendar.Failure
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") || !errors.As(err, &f) || f.Own || (tt.status >= 400) != (f.After == 7*time.Second) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]entra.Config{
		"no file":   {URL: server.URL, SecretFile: "/nowhere"},
		"empty":     {URL: server.URL, SecretFile: write(t, "empty", "\n")},
		"no TLS":    {URL: "http://login.example.com/token", SecretFile: write(t, "secret", "x")},
		"no CA":     {URL: server.URL, SecretFile: write(t, "secret", "x"), CAFile: "/nowhere"},
		"no RSA":    {URL: server.URL, CertFile: "/nowhere", KeyFile: "/nowhere"},
		"no scheme": {URL: "login.example.com", SecretFile: write(t, "secret", "x")},
	} {
		if _, err := entra.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCertificate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var server *httptest.Server
	server = endpoint(t, func(form url.Values) (int, string) {
		parts := strings.Split(form.Get("client_assertion"), ".")
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Has("client_secret") || len(parts) != 3 {
			t.Errorf("%v", form)
			return 400, ""
		}
		var head, claims map[string]any
		for i, into := range []*map[string]any{&head, &claims} {
			text, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil || json.Unmarshal(text, into) != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		thumb := sha256.Sum256(der)
		if head["alg"] != "PS256" || head["x5t#S256"] != base64.RawURLEncoding.EncodeToString(thumb[:]) {
			t.Errorf("%v", head)
		}
		now := float64(time.Now().Unix())
		exp, _ := claims["exp"].(float64)
		if claims["aud"] != server.URL || claims["iss"] != "app" || claims["sub"] != "app" || claims["jti"] == "" || exp < now || exp > now+600 {
			t.Errorf("%v", claims)
		}
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		sign, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil || rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, sum[:], sign, nil) != nil {
			t.Error("the signature is wrong")
		}
		return 200, `{"token_type":"Bearer","expires_in":3600,"access_token":"signed"}`
	})
	tokens, err := entra.New(entra.Config{
		URL: server.URL, ClientID: "app",
		CertFile: write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		KeyFile:  write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))),
	})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := tokens.Token(t.Context()); err != nil || token != "signed" {
		t.Errorf("%s %v", token, err)
	}
}
