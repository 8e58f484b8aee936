package entra

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type answers func() (int, string)

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	status, text := a()
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}, nil
}

// A token is asked for before the present one ends, which serves on while the
// endpoint is away; it is not asked for at each use then.
func TestRenewal(t *testing.T) {
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := New(Config{URL: "https://login.example.com/token", ClientID: "app", SecretFile: secret})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		asked, away := 0, false
		tokens.http.Transport = answers(func() (int, string) {
			if asked++; away {
				return 500, ""
			}
			return 200, fmt.Sprintf(`{"token_type":"bearer","expires_in":"3600","access_token":"t%d"}`, asked)
		})
		expect := func(want string, times int) {
			t.Helper()
			token, err := tokens.Token(t.Context())
			if token != want || (err == nil) != (want != "") || asked != times {
				t.Errorf("%q after %d requests: %v", token, asked, err)
			}
		}
		expect("t1", 1)
		time.Sleep(54 * time.Minute)
		expect("t1", 1)
		away = true
		time.Sleep(2 * time.Minute)
		expect("t1", 2)
		expect("t1", 2)
		time.Sleep(retryPause)
		expect("t1", 3)
		time.Sleep(4 * time.Minute)
		expect("", 4)
		away = false
		expect("t5", 5)
	})
}
