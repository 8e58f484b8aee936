// Package asterisktest runs a real Asterisk for tests, on free ports of this machine
// with all its files in a temporary folder. It ends with the test.
//
//	p := asterisktest.Start(t, asterisktest.Config{})
//	open(p.AMI(), p.User, p.Secret)
//	p.Call("2001")               // a call of line 2001, until Hangup
//	p.Device("2002", "RINGING")  // line 2002 rings
//	p.Freeze()                   // takes connections and answers nothing
//
// Lines 2001 to 2009 have hints: one of channels Local/…@phones, in which calls are real
// calls, for 2001 and 2005; of devices Custom:…, whose state a test sets, for the others.
package asterisktest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long an Asterisk may take to start or stop.
const patience = 60 * time.Second

// What a manager signs in with.
const (
	User    = "deskline"
	Modest  = "modest"  // may read calls and ask for states, no more
	Useless = "useless" // may do neither
	Secret  = "manager secret"
)

// Config sets up an Asterisk. The zero value is one without TLS.
type Config struct {
	CertFile string // certificate and key of the manager interface over TLS, in one file; "" = no TLS
	SIP      bool   // a telephone that SIPp is, with the hint 2010 and the device PJSIP/sipp
	ARI      bool   // the REST interface, over TLS as well with a CertFile
	Watcher  string // further lines for pjsip.conf, with SIP: whoever subscribes, and the lists there are
	Dialplan string // further lines for extensions.conf
}

// PBX is one Asterisk, which may be stopped and started again.
type PBX struct {
	t           testing.TB
	dir         string
	install     install
	port, sport int
	http, https int // of the REST interface
	sip, phone  int // of Asterisk and the telephone
	cmd         *exec.Cmd
	done        chan struct{} // closed when cmd has ended
}

// Start starts an Asterisk.
func Start(t testing.TB, cfg Config) *PBX {
	t.Helper()
	in, err := find()
	if err != nil {
		t.Fatal(err)
	}
	p := &PBX{t: t, dir: t.TempDir(), install: in, port: freePort(t), sport: freePort(t), http: freePort(t), https: freePort(t), sip: freePort(t), phone: freePort(t)}
	p.configure(cfg)
	p.Start()
	t.Cleanup(p.Kill)
	return p
}

// AMI is the address of the manager interface.
func (p *PBX) AMI() string { return local(p.port) }

// SIPAddr is the address of the telephone's server, UDP and TCP alike.
func (p *PBX) SIPAddr() string { return local(p.sip) }

// AMITLS is the address of the manager interface over TLS.
func (p *PBX) AMITLS() string { return local(p.sport) }

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Start starts an Asterisk that has ended. What was going on in it is over.
func (p *PBX) Start() {
	p.t.Helper()
	log, err := os.Create(p.file("output"))
	if err != nil {
		p.t.Fatal(err)
	}
	// Not ended with a context: the test's ends before its cleanups.
	p.cmd = p.install.command(context.WithoutCancel(p.t.Context()), "-f", "-C", p.file("asterisk.conf"))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	cmd, done := p.cmd, make(chan struct{})
	p.done = done
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed as a rule
		_ = log.Close()
	}()
	p.await()
}

// await waits until all is loaded.
func (p *PBX) await() {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		if out, err := p.command("core waitfullybooted"); err == nil && strings.Contains(out, "fully booted") {
			return
		}
		select {
		case <-tick.C:
		case <-p.done:
			p.t.Fatalf("asterisk has ended: %s", p.read("output"))
		case <-limit:
			p.t.Fatalf("asterisk does not start: %s", p.read("output"))
		}
	}
}

// Command has a command of the console carried out and returns what it prints.
func (p *PBX) Command(command string) string {
	p.t.Helper()
	out, err := p.command(command)
	if err != nil {
		p.t.Fatalf("%s: %v: %s", command, err, out)
	}
	return out
}

func (p *PBX) command(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), patience)
	defer cancel()
	out, err := p.install.command(ctx, "-C", p.file("asterisk.conf"), "-rx", command).CombinedOutput()
	return string(out), err
}

// Call has line 2001 or 2005 in a call until Hangup.
func (p *PBX) Call(line string) {
	p.t.Helper()
	p.Command("channel originate Local/" + line + "@phones/n application Wait 600")
}

// Hangup ends all calls.
func (p *PBX) Hangup() {
	p.t.Helper()
	p.Command("channel request hangup all")
}

// Device sets what the device of a line does, such as INUSE or NOT_INUSE.
func (p *PBX) Device(line, state string) {
	p.t.Helper()
	p.Command("devstate change Custom:" + line + " " + state)
}

// Kill ends Asterisk as kill -9 does. One that has ended stays so.
func (p *PBX) Kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Error("asterisk does not end")
	}
}

// Freeze halts Asterisk: it takes connections and answers nothing.
func (p *PBX) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen Asterisk go on.
func (p *PBX) Thaw() { p.signal(syscall.SIGCONT) }

func (p *PBX) signal(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // it may have ended
}

func (p *PBX) file(name string) string { return filepath.Join(p.dir, name) }

func (p *PBX) read(name string) string {
	data, _ := os.ReadFile(p.file(name)) // for messages alone
	return string(data)
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // this machine
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr, _ := l.Addr().(*net.TCPAddr)
	return addr.Port
}

func (p *PBX) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(p.file(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *PBX) configure(cfg Config) {
	p.t.Helper()
	for _, dir := range []string{"etc", "var", "run", "log", "spool"} {
		if err := os.Mkdir(p.file(dir), 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
	in := p.install
	p.write("asterisk.conf", fmt.Sprintf(`[directories]
astetcdir => %[1]s/etc
astmoddir => %[2]s
astvarlibdir => %[1]s/var
astdbdir => %[1]s/var
astkeydir => %[1]s/var
astdatadir => %[3]s
astagidir => %[1]s/var
astspooldir => %[1]s/spool
astrundir => %[1]s/run
astlogdir => %[1]s/log
[options]
nocolor = yes
`, p.dir, in.modules, filepath.Join(in.root, "usr/share/asterisk")))
	var modules strings.Builder
	modules.WriteString("[modules]\nautoload=no\n")
	for _, m := range slices.Concat(loaded, cfg.modules()) {
		if _, err := os.Stat(filepath.Join(in.modules, m+".so")); err == nil {
			fmt.Fprintf(&modules, "load=%s.so\n", m)
		}
	}
	p.write("etc/modules.conf", modules.String())
	manager := fmt.Sprintf("[general]\nenabled=yes\nbindaddr=127.0.0.1\nport=%d\n", p.port)
	if cfg.CertFile != "" {
		manager += fmt.Sprintf("tlsenable=yes\ntlsbindaddr=127.0.0.1:%d\ntlscertfile=%s\n", p.sport, cfg.CertFile)
	}
	p.write("etc/manager.conf", manager+fmt.Sprintf("[%s]\nsecret=%s\nread=system,call,reporting\nwrite=system,call,reporting\n", User, Secret)+
		fmt.Sprintf("[%s]\nsecret=%s\nread=call\nwrite=reporting\n[%s]\nsecret=%s\nread=system\nwrite=system\n", Modest, Secret, Useless, Secret))
	if cfg.ARI {
		p.rest(cfg)
	}
	p.write("etc/logger.conf", "[general]\n[logfiles]\nmessages => notice,warning,error\n")
	var plan strings.Builder
	for line := 2001; line <= 2009; line++ {
		if line == 2001 || line == 2005 {
			fmt.Fprintf(&plan, "exten => %[1]d,hint,Local/%[1]d@phones\n", line)
		} else {
			fmt.Fprintf(&plan, "exten => %[1]d,hint,Custom:%[1]d\n", line)
		}
	}
	plan.WriteString("[phones]\nexten => _200X,1,Answer()\n same => n,Wait(600)\n")
	p.write("etc/extensions.conf", cfg.hints()+plan.String()+cfg.Dialplan)
	if cfg.SIP {
		p.write("etc/pjsip.conf", fmt.Sprintf(`[udp]
type=transport
protocol=udp
bind=127.0.0.1:%[1]d
[sipp]
type=endpoint
context=phones
disallow=all
allow=ulaw
aors=sipp
[sipp]
type=aor
contact=sip:sipp@127.0.0.1:%[2]d
[tcp]
type=transport
protocol=tcp
bind=127.0.0.1:%[1]d
%[3]s`, p.sip, p.phone, cfg.Watcher))
	}
}

func (c Config) hints() string {
	if c.SIP {
		return "[hints]\nexten => 2010,hint,PJSIP/sipp\n"
	}
	return "[hints]\n"
}

// modules are those that a telephone and the REST interface need in addition.
func (c Config) modules() []string {
	var all []string
	if c.ARI {
		all = restModules
	}
	if !c.SIP {
		return all
	}
	return append(slices.Clone(all),
		"res_sorcery_config", "res_sorcery_memory", "res_sorcery_astdb", "res_pjproject", "res_pjsip", "res_pjsip_pubsub", "res_pjsip_session", "res_pjsip_sdp_rtp",
		"res_pjsip_endpoint_identifier_user", "res_rtp_asterisk", "chan_pjsip", "codec_ulaw",
		"res_pjsip_endpoint_identifier_ip", "res_pjsip_outbound_publish", "res_pjsip_exten_state", "res_pjsip_pidf_body_generator", "res_pjsip_pidf_digium_body_supplement",
		"res_pjsip_dialog_info_body_generator",
	)
}

// loaded are the modules that tests need.
var loaded = []string{
	"pbx_config", "func_devstate", "res_clioriginate", "res_manager_devicestate", "res_timing_timerfd", "bridge_simple", "app_verbose",
}
