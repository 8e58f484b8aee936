package app_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
)

// accepted sends messages to bob, who is away, one request each, until one is
// refused, and returns the ids of the others.
func accepted(c *client, prefix string, most int) (ids []string, refused string) {
	for i := range most {
		id := fmt.Sprintf("%s-%d-", prefix, i)
		got := c.ask(message("bob", id+strings.Repeat("x", 8000)))
		if strings.Contains(got, "type='error'") {
			return ids, got
		}
		ids = append(ids, id)
	}
	return ids, ""
}

// bodies are those of messages, in order and without what pads them.
func bodies(got string) (list []string) {
	for _, part := range strings.Split(got, "<body>")[1:] {
		if body, _, ok := strings.Cut(part, "</body>"); ok {
			list = append(list, strings.TrimRight(body, "x"))
		}
	}
	return list
}

// arrive checks that bob gets these messages, each once and in order, and no
// others.
func arrive(t *testing.T, s *server, ids []string) {
	t.Helper()
	bob := s.login("bob")
	got := bodies(bob.ask("<presence xmlns='jabber:client'/>") + bob.ask(message("bob", "last")))
	if want := append(ids, "last"); !slices.Equal(got, want) {
		t.Errorf("bob got\n%s\nwant\n%s", got, want)
	}
}

// What is kept for somebody may be far more than may wait for a client that does
// not take it; that client is not to suffer by it.
func TestMuchKept(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *configs.Config) { c.Limits.Queue, c.Limits.QueueBytes = 16, 100<<10 })
	ids, refused := accepted(s.login("alice"), "kept", 100)
	if refused != "" {
		t.Fatal(refused)
	}
	arrive(t, s, ids)
	if log := s.log.String(); strings.Contains(log, "session ended") || strings.Contains(log, "level=WARN") {
		t.Error("he was not let be")
	}
}

// While another process holds the store, writes are refused with an error,
// reading goes on, and nothing that was accepted is lost.
func TestLockedStore(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	alice := s.login("alice")
	ids, refused := accepted(alice, "before", 2)
	want(t, "nothing is refused", refused+" ")
	db, err := sql.Open("sqlite", "file:"+s.storePath())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	none, refused := accepted(alice, "during", 1)
	if len(none) != 0 {
		t.Fatal("a message was accepted though nobody can write")
	}
	want(t, "refusal", refused, "<message", "type='error'", "internal-server-error", "type='wait'")
	want(t, "reading goes on", alice.send("<iq xmlns='jabber:client' type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>"), "type='result'")
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	after, refused := accepted(alice, "after", 2)
	if refused != "" {
		t.Fatalf("refused afterwards: %s", refused)
	}
	arrive(t, s, append(ids, after...))
	log := s.log.String()
	want(t, "log", log, "store cannot write", "store writes again")
}
