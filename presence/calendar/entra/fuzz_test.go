package entra

import (
	"strings"
	"testing"
)

// Whatever an endpoint answers, a token can be a header and lives for some time.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ0"}`)
	f.Add(200, `{"token_type":"bearer","expires_in":"1e9","access_token":"a\u0000b"}`)
	f.Add(400, `{"error":"invalid_client","error_description":"AADSTS70002: \r\n"}`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		token, life, err := parse(status, strings.NewReader(text))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n\x00") || len(err.Error()) > 300 {
				t.Fatalf("%q", err)
			}
			return
		}
		if token == "" || life <= 0 || strings.ContainsAny(token, "\r\n \x00") {
			t.Fatalf("%q for %s", token, life)
		}
	})
}
