package ldaptest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	// ADBase is the suffix of an Active Directory.
	ADBase = "DC=ad,DC=example,DC=com"
	// ADAdmin is who administers it.
	ADAdmin = "CN=Administrator,CN=Users," + ADBase
	// ADAdminPassword is the one of ADAdmin.
	ADAdminPassword = "Passw0rd!admin"
)

// AD is a domain controller of Samba that serves LDAP alone, on the usual port of
// an address of its own. Making one takes half a minute, and running it root.
type AD struct {
	t    testing.TB
	dir  string
	addr string
}

// StartAD makes a domain and starts its controller.
func StartAD(t testing.TB) *AD {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("a domain controller needs root: its port is 389")
	}
	a := &AD{t: t, dir: t.TempDir(), addr: fmt.Sprintf("127.%d.%d.1", 64+rand.IntN(64), rand.IntN(256))}
	a.Tool("domain", "provision", "--realm=AD.EXAMPLE.COM", "--domain=ADEX", "--server-role=dc", "--dns-backend=NONE",
		"--adminpass="+ADAdminPassword, "--targetdir="+a.dir)
	samba, err := find("samba")
	if err != nil {
		t.Fatal("samba is missing: apt-get install samba-ad-dc")
	}
	args := []string{"-i", "-M", "single", "-s", a.conf()}
	for _, option := range []string{
		"server services=ldap", "interfaces=" + a.addr + "/8", "bind interfaces only=yes", "pid directory=" + a.dir, "log file=" + filepath.Join(a.dir, "log"),
		"ldap server require strong auth=no", "dcerpc endpoint servers=", "tls enabled=no", "cache directory=" + a.dir, "state directory=" + a.dir, "lock directory=" + a.dir,
	} {
		args = append(args, "--option="+option)
	}
	cmd := exec.Command(samba, args...) //nolint:noctx // ended by the cleanup
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()                                      // it was killed
	})
	a.await()
	return a
}

func (a *AD) conf() string { return filepath.Join(a.dir, "etc", "smb.conf") }

// URL is the address of the controller.
func (a *AD) URL() string { return "ldap://" + a.addr }

func (a *AD) await() {
	a.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(4 * patience)
	for {
		if c, err := net.Dial("tcp", net.JoinHostPort(a.addr, "389")); err == nil { //nolint:noctx // this machine
			_ = c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			a.t.Fatal("samba does not start")
		}
	}
}

// Tool runs samba-tool on the domain.
func (a *AD) Tool(args ...string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	if args[0] != "domain" || args[1] != "provision" {
		args = append(args, "-s", a.conf())
	}
	out, err := exec.CommandContext(ctx, "samba-tool", args...).CombinedOutput()
	if err != nil {
		a.t.Fatalf("samba-tool %v: %v: %s", args[:2], err, out)
	}
}

// Modify carries out changes, given as LDIF with a changetype.
func (a *AD) Modify(ldif string) {
	a.t.Helper()
	s := &Server{t: a.t, dir: a.dir}
	s.run("ldapmodify", ldif, "-x", "-H", a.URL(), "-D", ADAdmin, "-w", ADAdminPassword)
}
