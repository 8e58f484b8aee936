// Package siptest runs real SIP programs for tests: Kamailio as a presence server,
// and SIPp as publishers, on free ports of this machine and with their files in
// temporary folders. They end with the test.
//
//	k := siptest.Kamailio(t)
//	subscribe(k.Addr())
//	k.Freeze() // takes requests and answers nothing
//	siptest.SIPp(t, addr, "testdata/publish.xml", "-m", "100")
package siptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a program may take to start, stop or do its work.
const patience = 60 * time.Second

// Server is one Kamailio, which may be stopped and started again. It forgets all
// publications and subscriptions when it ends.
type Server struct {
	t    testing.TB
	dir  string
	port int
	cmd  *exec.Cmd     // nil while it does not run
	done chan struct{} // closed when cmd has ended
}

const config = `#!KAMAILIO
debug=0
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
listen=udp:127.0.0.1:PORT
listen=tcp:127.0.0.1:PORT
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "db_text.so"
loadmodule "presence.so"
loadmodule "presence_xml.so"
loadmodule "presence_dialoginfo.so"
modparam("presence|presence_xml", "db_url", "text://DIR/db")
modparam("presence", "server_address", "sip:127.0.0.1:PORT")
modparam("presence", "subs_db_mode", 0)
modparam("presence", "publ_cache", 2)
modparam("presence", "min_expires", 1)
modparam("presence_dialoginfo", "force_single_dialog", 0)
modparam("presence_xml", "force_active", 1)
LISTS
request_route {
	if (is_method("PUBLISH")) { handle_publish(); exit; }
	if (is_method("SUBSCRIBE")) { SUBSCRIBED }
	if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
	sl_send_reply("405", "Method Not Allowed");
}
`

// Kamailio starts a presence server for the events presence and dialog, over UDP
// and TCP.
func Kamailio(t testing.TB) *Server {
	t.Helper()
	return kamailio(t, "", "handle_subscribe(); exit;", nil)
}

func kamailio(t testing.TB, lists, subscribed string, fill func(db string)) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), port: freePort(t)}
	text := strings.NewReplacer("LISTS", lists, "SUBSCRIBED", subscribed).Replace(config)
	text = strings.NewReplacer("PORT", strconv.Itoa(s.port), "DIR", s.dir).Replace(text)
	if err := os.WriteFile(filepath.Join(s.dir, "kamailio.cfg"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const tables = "/usr/share/kamailio/dbtext/kamailio"
	if err := os.CopyFS(filepath.Join(s.dir, "db"), os.DirFS(tables)); err != nil {
		t.Fatalf("%s: %v: run scripts/install.sh, or apt-get install kamailio kamailio-presence-modules", tables, err)
	}
	if fill != nil {
		fill(filepath.Join(s.dir, "db"))
	}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Addr is the server's address.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Start starts a server that has ended.
func (s *Server) Start() {
	s.t.Helper()
	path, err := exec.LookPath("kamailio")
	if err != nil {
		s.t.Fatal("kamailio is missing: run scripts/install.sh, or apt-get install kamailio kamailio-presence-modules")
	}
	// Not ended with a context: the test's ends before its cleanups.
	s.cmd = exec.Command(path, "-DD", "-E", "-f", filepath.Join(s.dir, "kamailio.cfg"), "-Y", s.dir, //nolint:noctx // ended by Kill
		"-P", filepath.Join(s.dir, "pid"), "-w", s.dir, "-m", "64", "-M", "8")
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it is several processes
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed as a rule
	}()
	s.await()
}

// await asks until the server answers.
func (s *Server) await() {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if s.answers() == nil {
			return
		}
		select {
		case <-s.done:
			s.t.Fatalf("kamailio ended: %s", s.log())
		case <-time.After(50 * time.Millisecond):
		}
	}
	s.t.Fatalf("kamailio does not answer: %s", s.log())
}

func (s *Server) answers() error {
	var d net.Dialer
	c, err := d.DialContext(s.t.Context(), "udp", s.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it was for one question
	own := c.LocalAddr().String()
	if _, err := fmt.Fprintf(c, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\nFrom: <sip:test@%s>;tag=a\r\n"+
		"To: <sip:%s>\r\nCall-ID: %d\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", s.Addr(), own, time.Now().UnixNano(), own, s.Addr(), time.Now().UnixNano()); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	_, err = c.Read(make([]byte, 2048))
	return err
}

func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// Kill ends the server as kill -9 does. One that has ended stays so.
func (s *Server) Kill() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	s.signal(syscall.SIGKILL)
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Error("kamailio does not end")
	}
	s.cmd = nil
}

// Freeze halts the server: it takes requests and answers nothing.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	_ = syscall.Kill(-s.cmd.Process.Pid, sig) // it may have ended
}

// SIPp plays a scenario against a server, and fails the test unless each of its
// calls goes as the scenario says. It returns what SIPp printed.
func SIPp(t testing.TB, addr, scenario string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("sipp")
	if err != nil {
		t.Fatal("sipp is missing: run scripts/install.sh, or apt-get install sip-tester")
	}
	full, err := filepath.Abs(scenario)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-sf", full, "-i", "127.0.0.1", "-nostdin", "-timeout", "50s", "-timeout_error"}, append(args, addr)...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "TERM=dumb")
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("sipp: exit code %d: %s", exit.ExitCode(), out[max(0, len(out)-4000):])
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// freePort is free for UDP and TCP.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		var lc net.ListenConfig
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := lc.ListenPacket(t.Context(), "udp", l.Addr().String())
		closeAll(l, u, err)
		if err == nil {
			return port
		}
	}
	t.Fatal("no port is free for UDP and TCP")
	return 0
}

func closeAll(l io.Closer, u net.PacketConn, err error) {
	_ = l.Close()
	if err == nil {
		_ = u.Close()
	}
}
