package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/xmpp/jid"
)

// childEnv makes the test binary play a server instead: "role path".
const childEnv = "DESKLINE_STORE_TEST_CHILD"

var roles = map[string]func(ctx context.Context, path string) error{"write": writeForEver}

func TestMain(m *testing.M) {
	role, path, ok := strings.Cut(os.Getenv(childEnv), " ")
	if !ok {
		os.Exit(m.Run())
	}
	if err := roles[role](context.Background(), path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child prepares the test binary to play a role.
func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+role+" "+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// writeForEver writes with eight goroutines and prints a line for each write
// that was acknowledged. Each makes accounts in pairs; the second owns a contact
// and a message.
func writeForEver(ctx context.Context, path string) error {
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	errs := make(chan error)
	for w := range 8 {
		go func() { errs <- writePairs(ctx, s, fmt.Sprintf("w%d-%d", os.Getpid(), w)) }()
	}
	return <-errs
}

func writePairs(ctx context.Context, s *sqlite.Store, name string) error {
	for i := 0; ; i++ {
		key := fmt.Sprintf("%s-%d", name, i)
		pair := []auth.Account{{JID: pairOf(key, "a")}, {JID: pairOf(key, "b")}}
		owner := pair[1].JID
		if err := s.CreateAccounts(ctx, pair, nil); err != nil {
			return err
		}
		fmt.Println("pair", key)
		r, err := s.Roster(ctx, owner)
		if err != nil {
			return err
		}
		if _, err := s.Save(ctx, owner, r.Ver, []roster.Item{{JID: pair[0].JID}}, nil); err != nil {
			return err
		}
		fmt.Println("roster", key)
		if err := s.Append(ctx, owner, 10, offline.Message{XML: []byte(key)}); err != nil {
			return err
		}
		fmt.Println("message", key)
	}
}

func pairOf(key, which string) jid.JID { return jid.MustParse(key + which + "@example.com") }

// TestKill kills a writing process again and again; whatever it acknowledged
// must be there, and nothing by halves.
func TestKill(t *testing.T) {
	const rounds, writes = 4, 400
	path := filepath.Join(t.TempDir(), "deskline.db")
	var acknowledged []string
	for range rounds {
		acknowledged = append(acknowledged, killAfter(t, path, writes)...)
		s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, BusyTimeout: 10 * time.Second})
		must(t, err)
		checkAcknowledged(t, s, acknowledged)
		if n, err := s.Int(t.Context(), "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"); err != nil || n != 0 {
			t.Fatalf("integrity: %d faults, %v", n, err)
		}
		if n, err := s.Int(t.Context(), "SELECT count(*) % 2 FROM accounts"); err != nil || n != 0 {
			t.Fatalf("half a pair was kept: %v", err)
		}
		must(t, s.Close())
	}
}

// killAfter returns what a child printed until it was killed.
func killAfter(t *testing.T, path string, writes int) (lines []string) {
	t.Helper()
	cmd := child(t, "write", path)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	kill := sync.OnceFunc(func() { _ = cmd.Process.Kill() })
	defer kill()
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil { // a line cut short was perhaps never acknowledged
			break
		}
		lines = append(lines, strings.TrimSpace(line))
		if len(lines) == writes {
			kill()
		}
	}
	_ = cmd.Wait() // it was killed
	if len(lines) < writes {
		t.Fatalf("the child ended after %d writes", len(lines))
	}
	return lines
}

func checkAcknowledged(t *testing.T, s *sqlite.Store, lines []string) {
	t.Helper()
	for _, line := range lines {
		kind, key, _ := strings.Cut(line, " ")
		a, b := pairOf(key, "a"), pairOf(key, "b")
		switch kind {
		case "pair":
			_, err := s.Account(t.Context(), a)
			must(t, err)
			_, err = s.Account(t.Context(), b)
			must(t, err)
		case "roster":
			r, err := s.Roster(t.Context(), b)
			must(t, err)
			if len(r.Items) != 1 || r.Items[0].JID != a {
				t.Fatalf("%s: roster is %+v", line, r)
			}
		case "message":
			m, err := s.Messages(t.Context(), b, 10)
			must(t, err)
			if len(m) != 1 || string(m[0].XML) != key {
				t.Fatalf("%s: messages are %+v", line, m)
			}
		default:
			t.Fatalf("line %q", line)
		}
	}
}
