// Package radicaletest runs a real Radicale, a CalDAV server, for tests: on a free
// port of this machine, with its calendars and users in a temporary folder. It
// ends with the test.
//
//	r := radicaletest.Start(t, "alice:secret")
//	r.Put("alice", "secret", "/alice/calendar/one.ics", text)
package radicaletest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to start or stop.
const patience = 60 * time.Second

// Server is one Radicale, which may be stopped and started again.
type Server struct {
	t    testing.TB
	dir  string
	port int
	cmd  *exec.Cmd // nil while it does not run
	done chan struct{}
}

// Start starts a server with users, each name:password.
func Start(t testing.TB, users ...string) *Server {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: t.TempDir(), port: l.Addr().(*net.TCPAddr).Port}
	_ = l.Close()
	config := fmt.Sprintf(`[server]
hosts = 127.0.0.1:%d
[auth]
type = htpasswd
htpasswd_filename = %s
htpasswd_encryption = plain
delay = 0
[storage]
filesystem_folder = %s
[logging]
level = warning
`, s.port, s.file("users"), s.file("data"))
	for name, text := range map[string]string{"users": strings.Join(users, "\n") + "\n", "config": config} {
		if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// URL is the server's address, without a slash at the end.
func (s *Server) URL() string { return "http://127.0.0.1:" + strconv.Itoa(s.port) }

// Start starts a server that has ended, with its data.
func (s *Server) Start() {
	s.t.Helper()
	path, err := exec.LookPath("radicale")
	if err != nil {
		s.t.Fatal("radicale is missing: run scripts/install.sh, or apt-get install radicale")
	}
	// Not ended with a context: the test's ends before its cleanups.
	cmd := exec.Command(path, "--config", s.file("config")) //nolint:noctx // ended by Kill
	log, err := os.OpenFile(s.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children end with it
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = log.Close()
	done := make(chan struct{})
	s.cmd, s.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed as a rule
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		var d net.Dialer
		if c, err := d.DialContext(context.Background(), "tcp", "127.0.0.1:"+strconv.Itoa(s.port)); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-done:
			s.t.Fatalf("radicale has ended: %s", s.Log())
		case <-limit:
			s.t.Fatalf("radicale does not listen: %s", s.Log())
		}
	}
}

// Log is what the server has told.
func (s *Server) Log() string {
	text, _ := os.ReadFile(s.file("log"))
	return string(text)
}

// Kill ends the server as kill -9 does. One that has ended stays so.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
	s.cmd = nil
}

// Freeze halts the server: it takes connections and answers nothing.
func (s *Server) Freeze() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGCONT) }

// MakeCalendar makes an empty calendar.
func (s *Server) MakeCalendar(user, password, path string) {
	s.t.Helper()
	s.do("MKCALENDAR", user, password, path, "", "")
}

// Put stores an event.
func (s *Server) Put(user, password, path, text string) {
	s.t.Helper()
	s.do(http.MethodPut, user, password, path, "text/calendar", text)
}

// Delete removes an event.
func (s *Server) Delete(user, password, path string) {
	s.t.Helper()
	s.do(http.MethodDelete, user, password, path, "", "")
}

func (s *Server) do(method, user, password, path, kind, text string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.URL()+path, strings.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	r.SetBasicAuth(user, password)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %s\n%s", method, path, resp.Status, s.Log())
	}
}
