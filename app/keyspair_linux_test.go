package app_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSourcesOfPair takes calendars and telephones away from one node of two by a signal, and then from the
// other. Each forgets what it asked for and heard itself, on both.
func TestSourcesOfPair(t *testing.T) {
	t.Parallel()
	ports, host, dir := freePorts(t, 2), pairHost(), t.TempDir()
	var more, with, addrs []string
	for i, port := range ports {
		addrs = append(addrs, net.JoinHostPort(host, port))
		with = append(with, fmt.Sprintf("sip: {listen: %q, transports: [tcp], trusted: [127.0.0.0/8]}\n", addrs[i]))
		more = append(more, with[i]+"presence: {lines: [2001=user0, 2002=user1], calendars: [{name: files, kind: ics, file: '"+dir+"/{user}.ics'}]}\ngroups: {authorised: [crew]}\n")
		if err := os.WriteFile(filepath.Join(dir, chatName(i)+".ics"), []byte(meeting()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := startCluster(t, more...)
	doors := []string{c.nodes[0].door, c.nodes[1].door}
	for i := range 2 {
		one := newChatter(chatName(i), int32(i), doors) //nolint:gosec // 0 or 1
		if err := one.login(t.Context()); err != nil {
			t.Fatal(err)
		}
		go one.stay(t.Context())
		if err := publish(t.Context(), addrs[i], fmt.Sprint(2001+i), "in-call", 10*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	// both waits until each node says of a user what is wanted.
	both := func(user int, parts ...string) {
		t.Helper()
		for _, n := range c.nodes {
			eventually(t, fmt.Sprint(chatName(user), parts, " at ", n.admin), func() bool {
				text := get(t, n.admin+"/presence?user="+chatName(user)+"@localhost")
				for _, p := range parts {
					if word, not := strings.CutPrefix(p, "!"); strings.Contains(text, word) == not {
						return false
					}
				}
				return true
			})
		}
	}
	both(0, onPhone, `"files"`)
	both(1, onPhone, `"files"`)
	for i, n := range c.nodes {
		text, err := os.ReadFile(n.file)
		if err != nil {
			t.Fatal(err)
		}
		less := strings.Replace(string(text), with[i], "", 1)
		less = strings.Replace(less, ", calendars: [{name: files, kind: ics, file: '"+dir+"/{user}.ics'}]", "", 1)
		if err := os.WriteFile(n.file, []byte(less), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is taken over", func() bool { return strings.Contains(n.log.String(), "msg=reloaded") })
		both(i, atLeisure, "!"+inCall, `!"files"`)
		if i == 0 {
			both(1, onPhone, `"files"`)
		}
	}
}
