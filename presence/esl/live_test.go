package esl_test

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/esl"
	"github.com/deskline/deskline/presence/pbx/pbxtest"
)

// TestLive has a real FreeSWITCH make calls within itself, if there is one:
// DESKLINE_FREESWITCH=127.0.0.1:8021 DESKLINE_FREESWITCH_PASSWORD=ClueCon go test ./presence/esl -run Live
func TestLive(t *testing.T) {
	address, secret := os.Getenv("DESKLINE_FREESWITCH"), os.Getenv("DESKLINE_FREESWITCH_PASSWORD")
	if address == "" {
		t.Skip("no DESKLINE_FREESWITCH: Debian has none, and the other tests have a peer that speaks as it does")
	}
	console := dial(t, address, secret)
	const a, b = "a1000000-0000-4000-8000-000000000001", "a1000000-0000-4000-8000-000000000002"
	console("originate {presence_id=2001@live,origination_uuid=" + a + "}null/x &park()") // before anybody hears
	w, _ := pbxtest.Run(t, source(t, esl.Config{Address: address, Password: secret, Ping: 2 * time.Second}))
	w.Await("2001@live", presence.LineInCall)
	console("originate {presence_id=2002@live,origination_uuid=" + b + "}null/x &park()")
	w.Await("2002@live", presence.LineInCall)
	console("uuid_kill " + b)
	w.Await("2002@live", presence.LineIdle)
	w.Renewed(w.Await("2001@live", presence.LineInCall))
	console("uuid_kill " + a)
	w.Await("2001@live", presence.LineIdle)
}

// dial returns a console that carries out commands.
func dial(t *testing.T, address, secret string) func(command string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	in := bufio.NewReader(c)
	read := func() string {
		head, err := textproto.NewReader(in).ReadMIMEHeader()
		if err != nil {
			t.Fatal(err)
		}
		size, _ := strconv.Atoi(head.Get("Content-Length"))
		body := make([]byte, size)
		for n := 0; n < size; {
			k, err := in.Read(body[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
		return head.Get("Reply-Text") + string(body)
	}
	read()
	fmt.Fprintf(c, "auth %s\n\n", secret)
	if got := read(); !strings.HasPrefix(got, "+OK") {
		t.Fatal(got)
	}
	return func(command string) string {
		fmt.Fprintf(c, "api %s\n\n", command)
		got := read()
		t.Logf("%s: %s", command, got)
		return got
	}
}
