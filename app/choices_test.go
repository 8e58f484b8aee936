package app_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestChoiceByAdministrator has an administrator choose for a user, and take it back.
func TestChoiceByAdministrator(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	do := func(method, user, body string, status int) string {
		t.Helper()
		path := "/presence/choice?user=" + user
		if method == http.MethodGet {
			path = "/presence?user=" + user
		}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.ops+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status {
			t.Fatalf("%s %s: %s %s", method, body, resp.Status, text)
		}
		return string(text)
	}
	s.login("alice").ask("<presence xmlns='jabber:client'/>")
	do(http.MethodPut, "alice@localhost", `{"state":"away","text":"Ill","by":"Carol"}`, http.StatusNoContent)
	want(t, "report", do(http.MethodGet, "alice@localhost", "", http.StatusOK), `"state":"away"`, `"text":"Ill"`, `"by":"Carol"`, `"why":"choice"`)
	do(http.MethodDelete, "alice@localhost", "", http.StatusNoContent)
	want(t, "report", do(http.MethodGet, "alice@localhost", "", http.StatusOK), `"state":"available"`, `"why":"resource"`)
	do(http.MethodPut, "alice@localhost", `{"state":"on-the-phone"}`, http.StatusBadRequest)
	do(http.MethodPut, "alice@localhost", `{"status":"away"}`, http.StatusBadRequest)
	do(http.MethodPut, "nobody@localhost", `{"state":"away"}`, http.StatusNotFound)
	do(http.MethodPut, "alice@elsewhere.example", `{"state":"away"}`, http.StatusBadRequest)
}
