package app_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/ldaptest"
)

var (
	crowdGiven  = strings.Fields("Anna Björn Carla Dörte Emil Fátima Giorgos Hanna Ibrahim José Katarzyna Lars Maria Noël Olga Paul Renée Søren Thomas Zoë")
	crowdFamily = strings.Fields("Müller Schmidt Öztürk Nowak García Rossi Jensen Novák Papadopoulos Weiß Fischer Weber Meyer Wagner Becker Łukasz Hoffmann Koch Richter Klein")
)

// crowdName is the name that somebody of the crowd shows.
func crowdName(i int) string {
	return fmt.Sprintf("%s %s-%s", crowdGiven[i%20], crowdFamily[i/20%20], crowdFamily[i/400%20])
}

// manyPeople is a directory of many people, in teams of 50 that are all within one group.
func manyPeople(count int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "dn: uid=u%[1]d,%[2]s\nobjectClass: inetOrgPerson\nuid: u%[1]d\ncn: %[3]s\ndisplayName: %[3]s\nsn: %[4]s\ngivenName: %[5]s\n"+
			"mail: u%[1]d@corp.example.com\ntelephoneNumber: +49 30 %[6]d\ntitle: Agent\ndepartmentNumber: %[7]d\nuserPassword: %[8]s\n\n",
			i, ldaptest.People, crowdName(i), crowdFamily[i/20%20], crowdGiven[i%20], 1000000+i, i%100, password)
	}
	var teams strings.Builder
	for i := 0; i < count; i += 50 {
		fmt.Fprintf(&b, "dn: cn=team%[1]d,%[2]s\nobjectClass: groupOfNames\ncn: team%[1]d\n", i/50, ldaptest.Groups)
		for k := i; k < min(i+50, count); k++ {
			fmt.Fprintf(&b, "member: uid=u%d,%s\n", k, ldaptest.People)
		}
		b.WriteString("\n")
		fmt.Fprintf(&teams, "member: cn=team%d,%s\n", i/50, ldaptest.Groups)
	}
	return b.String() + "dn: cn=chat," + ldaptest.Groups + "\nobjectClass: groupOfNames\ncn: chat\n" + teams.String() + "\n"
}

// serveMany runs the real program over a directory, and returns it with its
// process when it has read everybody.
func serveMany(b *testing.B, d *ldaptest.Server) (*server, int) {
	dir := b.TempDir()
	program := filepath.Join(dir, "deskline")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "../cmd/deskline").CombinedOutput(); err != nil {
		b.Fatalf("build: %v: %s", err, out)
	}
	config := fmt.Sprintf("domains: [%s]\ndata_dir: %s\nhttp: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\nsearch: {rate: 1000000}\nldap:\n  urls: ['%s']\n"+
		"  base: %s\n  bind_dn: %s\n  bind_password: %s\n  enabled: {groups: ['cn=chat,%s']}\n",
		inDirectory, dir, d.URL(), ldaptest.Base, ldaptest.Reader, ldaptest.ReaderPassword, ldaptest.Groups)
	if err := os.WriteFile(filepath.Join(dir, "deskline.yaml"), []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), program, "serve", "-c", filepath.Join(dir, "deskline.yaml")) //nolint:gosec // built above
	log, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	s, ready := &server{t: b, log: new(buffer)}, make(chan struct{})
	go func() {
		address := regexp.MustCompile(`msg=listening name=http addr=(\S+)`)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			_, _ = s.log.Write(append(lines.Bytes(), '\n'))
			if m := address.FindStringSubmatch(lines.Text()); m != nil {
				s.addr = m[1]
			}
			if strings.Contains(lines.Text(), `msg="people read"`) && strings.Contains(lines.Text(), "source=ldap") {
				close(ready)
			}
		}
	}()
	select {
	case <-ready:
	case <-time.After(2 * time.Minute):
		b.Fatalf("the directory was not read: %s", s.log)
	}
	if _, _, err := net.SplitHostPort(s.addr); err != nil {
		b.Fatal(err)
	}
	return s, cmd.Process.Pid
}

// memoryOf is a line of the status of a process, in MB.
func memoryOf(b *testing.B, pid int, name string) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(data)
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		b.Fatal(err)
	}
	return float64(kb) / 1024
}

// BenchmarkDirectory_100000People has the real program read a real directory of
// 100,000 people, and somebody search it letter by letter: what a letter takes
// with the way there and back, and the memory of the whole process.
func BenchmarkDirectory_100000People(b *testing.B) {
	d := ldaptest.Start(b, ldaptest.Config{Extra: "sizelimit unlimited"})
	d.LoadOffline(manyPeople(100000))
	s, pid := serveMany(b, d)
	me := s.enter("u7", "desk")
	var all []time.Duration
	for b.Loop() {
		name := crowdName(rand.IntN(100000)) //nolint:gosec // no secret
		for end := range name {
			if end == 0 {
				continue
			}
			began := time.Now()
			answer := me.send("<iq xmlns='jabber:client' type='set' id='s' to='example.com'><query xmlns='jabber:iq:search'>" +
				"<x xmlns='jabber:x:data' type='submit'><field var='search'><value>" + name[:end] + "</value></field></x></query></iq>")
			all = append(all, time.Since(began))
			if !strings.Contains(answer, "<item>") {
				b.Fatalf("%s: %s", name[:end], answer)
			}
		}
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms/letter")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms/letter")
	b.ReportMetric(memoryOf(b, pid, "VmRSS"), "MB-RSS")
	b.ReportMetric(memoryOf(b, pid, "VmHWM"), "MB-peak")
}
