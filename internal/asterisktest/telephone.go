package asterisktest

import (
	_ "embed"
	"os/exec"
	"strconv"
	"time"
)

//go:embed hold.xml
var hold string // what SIPp does

// Dial has the telephone SIPp call line 2001 and hang up after a time. It returns at once.
func (p *PBX) Dial(talk time.Duration) {
	p.t.Helper()
	p.sipp(talk, "-sn", "uac")
}

// DialAndHold does so, holds the call for a time, and talks once more.
func (p *PBX) DialAndHold(talk time.Duration) {
	p.t.Helper()
	p.write("hold.xml", hold)
	p.sipp(talk, "-sf", p.file("hold.xml"))
}

func (p *PBX) sipp(talk time.Duration, scenario ...string) {
	p.t.Helper()
	path, err := exec.LookPath("sipp")
	if err != nil {
		p.t.Fatal("sipp is missing: run scripts/install.sh, or apt-get install sip-tester")
	}
	cmd := exec.CommandContext(p.t.Context(), path, append(scenario, "-s", "2001", "-i", "127.0.0.1", "-p", strconv.Itoa(p.phone), "-m", "1",
		"-d", strconv.FormatInt(talk.Milliseconds(), 10), "-nostdin", local(p.sip))...)
	cmd.Dir = p.dir
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it may have ended
}
