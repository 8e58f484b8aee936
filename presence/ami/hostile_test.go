package ami_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/ami"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/pbxtest"
)

// peer is a manager interface that says what a test wants: to each action the rows that
// answer returns.
func peer(t *testing.T, greeting string, answer func(action, id string) string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			speak(c, greeting, answer)
		}
	}()
	return l.Addr().String()
}

func speak(c net.Conn, greeting string, answer func(action, id string) string) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(c, greeting)
	in := bufio.NewScanner(c)
	action, id := "", ""
	for in.Scan() {
		key, value, _ := strings.Cut(in.Text(), ": ")
		switch key {
		case "Action":
			action = value
		case "ActionID":
			id = value
		case "":
			if _, err := fmt.Fprint(c, answer(action, id)); err != nil {
				return
			}
		}
	}
}

const greeting = "Asterisk Call Manager/9.0.0\r\n"

func polite(action, id string) string {
	if action == "Challenge" {
		return "Response: Success\r\nActionID: " + id + "\r\nChallenge: 1\r\n\r\n"
	}
	return "Response: Success\r\nActionID: " + id + "\r\n\r\n"
}

// TestHostile holds that whatever a peer says ends in an error, and in no time.
func TestHostile(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		greeting string
		answer   func(action, id string) string
		want     string
	}{
		"another protocol": {"220 mail.example.com ESMTP\r\n", polite, "no Asterisk manager interface"},
		"binary":           {"\x00\x01\x02\n", polite, "no Asterisk manager interface"},
		"no greeting":      {"", polite, "does not answer"},
		"silence":          {greeting, func(string, string) string { return "" }, "does not answer"},
		"no challenge":     {greeting, func(_, id string) string { return "Response: Success\r\nActionID: " + id + "\r\n\r\n" }, "no MD5 challenge"},
		"another's answer": {greeting, func(string, string) string { return "Response: Success\r\nActionID: 77\r\nChallenge: 1\r\n\r\n" }, "does not answer"},
		"rows without end": {greeting, func(string, string) string { return strings.Repeat("a: b\r\n", 5000) }, "more than 1000 rows"},
		"list without end": {greeting, polite, "ExtensionStateList: the switch does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, ami.Config{Address: peer(t, tt.greeting, tt.answer), Ping: 300 * time.Millisecond, Timeout: 300 * time.Millisecond})
			if err := c.Talk(t.Context(), pbx.NewBoard(10)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestOdd holds that rows and events nobody needs do no harm, and that lines above the limit are left out.
func TestOdd(t *testing.T) {
	t.Parallel()
	address := peer(t, greeting, func(action, id string) string {
		if action != "ExtensionStateList" {
			return polite(action, id)
		}
		var b strings.Builder
		b.WriteString("Event: VarSet\r\nValue: " + strings.Repeat("x", 100_000) + "\r\n\r\nno field\r\n\r\n: nothing\r\n\r\nResponse: Success\r\nActionID: " + id + "\r\n\r\n")
		status := func(exten, context, status string) {
			fmt.Fprintf(&b, "Event: ExtensionStatus\r\nActionID: %s\r\nExten: %s\r\nContext: %s\r\nStatus: %s\r\n\r\n", id, exten, context, status)
		}
		status("_2XXX", "inside", "1")
		status(strings.Repeat("9", 300), "inside", "1")
		status("", "inside", "1")
		status("2001", "inside", "1") // in a call in one context, idle in the other
		status("2001", "outside", "0")
		status("2002", "inside", "99999999999999999999")
		status("2003", "elsewhere", "1")
		for i := range 20 {
			status(fmt.Sprintf("3%03d", i), "inside", "0")
		}
		fmt.Fprintf(&b, "Event: ExtensionStateListComplete\r\nActionID: %s\r\n\r\n", id)
		return b.String()
	})
	c := client(t, ami.Config{Address: address, Contexts: []string{"inside", "outside"}})
	s := pbx.New(pbx.Config{Name: "asterisk:test", Talk: c.Talk, Lines: pbxtest.Everyone{}, Limit: 10, Log: discard})
	w, _ := pbxtest.Run(t, s)
	w.Await("2001", presence.LineInCall)
	if n := s.Status().Lines; n != 10 {
		t.Errorf("%d lines, all: %s", n, w)
	}
	for _, line := range []string{"2002", "2003", "_2XXX"} {
		if e := w.Get(line); e.Line != presence.LineUnknown {
			t.Errorf("%s is %v", line, e.Line)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []ami.Config{{}, {User: "a"}, {User: "a\r\nAction: Command", Secret: "b"}, {User: "a", Secret: "b\n"}} {
		if _, err := ami.New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// TestEnd holds that a connection ends at once when it is to.
func TestEnd(t *testing.T) {
	c := client(t, ami.Config{Address: peer(t, greeting, polite)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Talk(ctx, pbx.NewBoard(1)); err == nil {
		t.Error("no error")
	}
}
