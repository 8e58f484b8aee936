// Package ldaptest runs real slapd servers for tests, each on free ports of this
// machine with its data in a temporary folder. They end with the test.
//
//	d := ldaptest.Start(t, ldaptest.Config{})
//	d.Load("dn: uid=alice,ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\n…")
//	open(d.URL())
//	d.Freeze() // takes connections and answers nothing
package ldaptest

import (
	"context"
	"errors"
	"fmt"
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

const (
	// Base is the suffix that every server begins with, empty but for ou=people
	// and ou=groups.
	Base = "dc=example,dc=com"
	// People is the branch of people.
	People = "ou=people," + Base
	// Groups is the branch of groups.
	Groups = "ou=groups," + Base
	// Admin may do everything.
	Admin = "cn=admin," + Base
	// AdminPassword is the one of Admin.
	AdminPassword = "admin secret"
	// Reader may read everything but passwords.
	Reader = "cn=reader," + Base
	// ReaderPassword is the one of Reader.
	ReaderPassword = "reader secret"
)

// patience is how long a server may take to start or stop.
const patience = 30 * time.Second

// Config sets up a server. The zero value is a server without TLS.
type Config struct {
	TLS        *CA    // offers LDAPS and StartTLS with a certificate of this authority
	ClientCert bool   // demands a certificate of the same authority from clients
	Extra      string // further lines for the database in slapd.conf
	Plain      bool   // without the overlays memberof and syncprov
}

// Server is one slapd, which may be stopped and started again.
type Server struct {
	t     testing.TB
	dir   string
	port  int
	sport int // of LDAPS
	cmd   *exec.Cmd
	done  chan struct{} // closed when cmd has ended
}

// Start starts a server with the suffix, the branches and the reader.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), port: freePort(t), sport: freePort(t)}
	if err := os.Mkdir(s.file("db"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("slapd.conf", s.config(cfg))
	s.write("base.ldif", baseLDIF)
	s.tool("slapadd", "-f", s.file("slapd.conf"), "-l", s.file("base.ldif"))
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

const baseLDIF = `dn: ` + Base + `
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ` + People + `
objectClass: organizationalUnit
ou: people

dn: ` + Groups + `
objectClass: organizationalUnit
ou: groups

dn: ` + Reader + `
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: reader
userPassword: ` + ReaderPassword + `
`

func (s *Server) config(cfg Config) string {
	var b strings.Builder
	for _, schema := range []string{"core", "cosine", "inetorgperson", "nis"} {
		fmt.Fprintf(&b, "include /etc/ldap/schema/%s.schema\n", schema)
	}
	fmt.Fprintf(&b, "pidfile %s\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload syncprov\nmoduleload memberof\nmoduleload sssvlv\n", s.file("pid"))
	if cfg.TLS != nil {
		cert, key := cfg.TLS.Issue(s.t, "localhost")
		fmt.Fprintf(&b, "TLSCACertificateFile %s\nTLSCertificateFile %s\nTLSCertificateKeyFile %s\n", cfg.TLS.File, cert, key)
		if cfg.ClientCert {
			b.WriteString("TLSVerifyClient demand\n")
		}
	}
	fmt.Fprintf(&b, "database mdb\nsuffix %q\ndirectory %s\nmaxsize 1073741824\ndbnosync\n", Base, s.file("db"))
	fmt.Fprintf(&b, "rootdn %q\nrootpw %q\nindex objectClass,uid,entryUUID,entryCSN,member,memberUid eq\n", Admin, AdminPassword)
	b.WriteString("access to attrs=userPassword by anonymous auth by * none\naccess to * by users read by * none\n")
	b.WriteString(cfg.Extra + "\n")
	if !cfg.Plain {
		b.WriteString("overlay memberof\noverlay syncprov\nsyncprov-checkpoint 100 10\nsyncprov-sessionlog 1000\n")
	}
	return b.String()
}

// Addr is the address of the server.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is the address without TLS.
func (s *Server) URL() string { return "ldap://" + s.Addr() }

// TLSURL is the address with TLS from the start.
func (s *Server) TLSURL() string {
	return "ldaps://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(s.sport))
}

// Start starts a server that has ended, with its data.
func (s *Server) Start() {
	s.t.Helper()
	path, err := find("slapd")
	if err != nil {
		s.t.Fatal(err)
	}
	urls := s.URL() + "/"
	if strings.Contains(s.read("slapd.conf"), "TLSCertificateFile") {
		urls += " " + s.TLSURL() + "/"
	}
	log, err := os.Create(s.file("log"))
	if err != nil {
		s.t.Fatal(err)
	}
	// Not ended with a context: the test's ends before its cleanups.
	s.cmd = exec.Command(path, "-f", s.file("slapd.conf"), "-h", urls, "-d", "0") //nolint:noctx // ended by Kill
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed as a rule
		_ = log.Close()
	}()
	s.await()
}

// await waits until the server takes connections.
func (s *Server) await() {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		if c, err := net.Dial("tcp", s.Addr()); err == nil { //nolint:noctx // this machine
			_ = c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-s.done:
			s.t.Fatalf("slapd has ended: %s", s.read("log"))
		case <-limit:
			s.t.Fatalf("slapd on port %d does not start: %s", s.port, s.read("log"))
		}
	}
}

// Kill ends the server as kill -9 does. One that has ended stays so.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server in good order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Freeze halts the server: it takes connections and answers nothing.
func (s *Server) Freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	limit := time.Now().Add(patience)
	for !s.halted() { // its threads stop one after another
		if time.Now().After(limit) {
			s.t.Fatalf("slapd on port %d does not halt", s.port)
		}
		time.Sleep(time.Millisecond)
	}
}

// halted reports whether all threads of the server have stopped, as far as the
// system tells.
func (s *Server) halted() bool {
	if s.cmd == nil {
		return true
	}
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
	if err != nil {
		return true
	}
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// proc(5): the state is behind the name, which is in parentheses.
		if _, state, ok := strings.Cut(string(data), ") "); ok && !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig) // it may have ended
	}
}

func (s *Server) end(sig syscall.Signal) {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	s.signal(sig)
	s.signal(syscall.SIGCONT)
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Errorf("slapd on port %d does not end", s.port)
		s.signal(syscall.SIGKILL)
		<-s.done
	}
	s.cmd = nil
}

// Load adds entries, given as LDIF, to the running server.
func (s *Server) Load(ldif string) { s.t.Helper(); s.client("ldapadd", ldif) }

// Modify carries out changes, given as LDIF with a changetype.
func (s *Server) Modify(ldif string) { s.t.Helper(); s.client("ldapmodify", ldif) }

// Delete removes entries.
func (s *Server) Delete(dns ...string) { s.t.Helper(); s.client("ldapdelete", "", dns...) }

// LoadOffline stops the server and adds many entries to its files.
func (s *Server) LoadOffline(ldif string) {
	s.t.Helper()
	s.Stop()
	s.write("more.ldif", ldif)
	s.tool("slapadd", "-q", "-f", s.file("slapd.conf"), "-l", s.file("more.ldif"))
	s.Start()
}

// client runs one of ldap-utils as the administrator.
func (s *Server) client(name, stdin string, args ...string) {
	s.t.Helper()
	s.write("password", AdminPassword)
	s.run(name, stdin, append([]string{"-x", "-H", s.URL(), "-D", Admin, "-y", s.file("password")}, args...)...)
}

func (s *Server) tool(name string, args ...string) { s.t.Helper(); s.run(name, "", args...) }

func (s *Server) run(name, stdin string, args ...string) {
	s.t.Helper()
	path, err := find(name)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v: %s", name, err, out)
	}
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) read(name string) string {
	text, _ := os.ReadFile(s.file(name)) // for a message
	return string(text)
}

// find looks for a program also where Debian keeps those of the administrator.
func find(name string) (string, error) {
	for _, path := range []string{name, "/usr/sbin/" + name, "/usr/libexec/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", errors.New(name + " is missing: run scripts/install.sh, or apt-get install slapd ldap-utils")
}

func freePort(t testing.TB) int {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
