package app_test

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the benchmark of the way from a telephone to a contact's screen is made of.
const (
	benchLines    = 50
	benchWatchers = 10
	benchRate     = 200 // changes in a second, of all lines
	benchTime     = 20 * time.Second
)

// lineManager publishes over one connection, one request after the other, as the trunk
// of a call manager does.
type lineManager struct {
	conn net.Conn
	in   *textproto.Reader
	seq  int
	tags map[int]string // by line
}

func dialManager(b *testing.B, addr string) *lineManager {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &lineManager{conn: conn, in: textproto.NewReader(bufio.NewReader(conn)), tags: map[int]string{}}
}

func (m *lineManager) publish(line int, state string) error {
	m.seq++
	uri := fmt.Sprintf("sip:%d@pbx.example.com", 2000+line)
	body := "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='" +
		uri + "'>" + lineStates[state] + "</presence>"
	id, match := m.conn.LocalAddr().String()+"-"+strconv.Itoa(m.seq), ""
	if tag := m.tags[line]; tag != "" {
		match = "SIP-If-Match: " + tag + "\r\n"
	}
	_, err := fmt.Fprintf(m.conn, "PUBLISH %[1]s SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK%[2]s\r\nMax-Forwards: 70\r\nFrom: <%[1]s>;tag=a\r\nTo: <%[1]s>\r\n"+
		"Call-ID: %[2]s\r\nCSeq: 1 PUBLISH\r\nEvent: presence\r\nExpires: 3600\r\n%[3]sContent-Type: application/pidf+xml\r\nContent-Length: %[4]d\r\n\r\n%[5]s",
		uri, id, match, len(body), body)
	if err != nil {
		return err
	}
	status, err := m.in.ReadLine()
	if err != nil {
		return err
	}
	header, err := m.in.ReadMIMEHeader()
	if err != nil {
		return err
	}
	if !strings.Contains(status, " 200 ") {
		return fmt.Errorf("PUBLISH: %s", status)
	}
	m.tags[line] = header.Get("SIP-ETag")
	return nil
}

// told is what a watcher saw.
type told struct {
	line int
	busy bool
	at   time.Time
}

// follow reads what a watcher is told, until it leaves.
func (c *chatter) follow(b *testing.B, hear func(told)) {
	for n := 0; ; n++ {
		what := ""
		if n%8 == 7 {
			what = "<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
		}
		a, err := c.request(b.Context(), "", what)
		if err != nil {
			return
		}
		now := time.Now()
		for _, p := range a.Presences {
			name, _, _ := strings.Cut(p.From, "@")
			if line, err := strconv.Atoi(strings.TrimPrefix(name, "user")); err == nil && line < benchLines && p.Type == "" {
				hear(told{line, p.Show == "dnd", now})
			}
		}
	}
}

// BenchmarkOffHook_TwoNodes has the real program, as two nodes, told of 200 changes a
// second of lines; it reports the time from the publication to a contact's client at the other
// node than the one told, presence.gather (100 ms) in it.
func BenchmarkOffHook_TwoNodes(b *testing.B) {
	ports, host := freePorts(b, 2), pairHost()
	var more, addrs []string
	var lines strings.Builder
	for i := range benchLines {
		fmt.Fprintf(&lines, "%q,", fmt.Sprintf("%d=user%d", 2000+i, i))
	}
	for _, port := range ports {
		addrs = append(addrs, net.JoinHostPort(host, port))
		more = append(more, fmt.Sprintf("sip: {listen: %q, transports: [tcp], trusted: [127.0.0.0/8]}\npresence: {lines: [%s]}\n",
			addrs[len(addrs)-1], lines.String()))
	}
	c := startClusterOf(b, benchLines+benchWatchers, more...)
	doors := []string{c.nodes[0].door, c.nodes[1].door}
	var mu sync.Mutex
	sent := make([][]told, benchLines)
	var waits []time.Duration
	heard := 0
	for i := range benchLines + benchWatchers {
		// Who watches is at the second node; those with a telephone are at both.
		home := int32(i % 2)
		if i >= benchLines {
			home = 1
		}
		one := newChatter(chatName(i), home, doors)
		if err := one.login(b.Context()); err != nil {
			b.Fatal(err)
		}
		if i < benchLines {
			subscribe(b, one, "subscribed", benchLines, benchLines+benchWatchers) // in advance
			go one.follow(b, func(told) {})
			continue
		}
		subscribe(b, one, "subscribe", 0, benchLines)
		go one.follow(b, func(w told) {
			mu.Lock()
			defer mu.Unlock()
			of := sent[w.line]
			for k := len(of) - 1; k >= 0; k-- { // the latest of that kind
				if of[k].busy == w.busy {
					waits = append(waits, w.at.Sub(of[k].at))
					break
				}
			}
			heard++
		})
	}
	manager := dialManager(b, addrs[0]) // and the contacts are at the other node
	runtime.GC()
	began := [2]time.Duration{cpuOf(b, c.nodes[0]), cpuOf(b, c.nodes[1])}
	changes, start := 0, time.Now()
	for b.Loop() {
		tick := time.NewTicker(time.Second / benchRate)
		for end := time.Now().Add(benchTime); time.Now().Before(end); <-tick.C {
			line, busy := changes%benchLines, changes/benchLines%2 == 0
			mu.Lock()
			sent[line] = append(sent[line], told{line, busy, time.Now()})
			mu.Unlock()
			if err := manager.publish(line, map[bool]string{true: "in-call", false: "idle"}[busy]); err != nil {
				b.Fatal(err)
			}
			changes++
		}
		tick.Stop()
	}
	took := time.Since(start)
	eventually(b, "all is told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(waits) >= changes*benchWatchers*9/10
	})
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(waits)
	used := cpuOf(b, c.nodes[0]) - began[0] + cpuOf(b, c.nodes[1]) - began[1]
	b.ReportMetric(float64(changes)/took.Seconds(), "changes/s")
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(len(waits))/float64(changes), "told/change")
	b.ReportMetric(float64(used.Microseconds())/float64(len(waits)), "cpu-µs/told")
}

// subscribe sends presence of a subscription to some users, at once.
func subscribe(b *testing.B, c *chatter, kind string, from, until int) {
	b.Helper()
	var all strings.Builder
	for i := from; i < until; i++ {
		fmt.Fprintf(&all, "<presence xmlns='jabber:client' type='%s' to='%s@localhost'/>", kind, chatName(i))
	}
	if _, err := c.request(b.Context(), "", all.String()); err != nil {
		b.Fatal(err)
	}
}

// cpuOf is what a node has used.
func cpuOf(b *testing.B, p *process) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // of 100 in a second
}
