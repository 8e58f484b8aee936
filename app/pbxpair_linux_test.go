package app_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/presence/esl/esltest"
)

// switchNode is a node of two that share a Redis and a telephone switch, in a process of its own.
type switchNode struct {
	server
	file string
	kill func()
}

func (n *switchNode) start() { n.kill = n.spawn(n.file) }

// holds reports whether this is the node that hears the switch.
func (n *switchNode) holds() bool {
	resp, err := http.Get("http://" + n.ops + "/metrics")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return strings.Contains(string(text), `deskline_presence_switch_up{source="freeswitch:main"} 1`)
}

func startSwitchPair(t *testing.T, p *esltest.Switch) []*switchNode {
	t.Helper()
	r := redistest.Start(t, "--appendfsync", "no")
	ports, host := freePorts(t, 6), pairHost()
	var pair []*switchNode
	for i := range 2 {
		c := configs.Default()
		withFreeSWITCH(t, p, func(f *configs.FreeSWITCH) { f.Expires, f.Ping = 20*time.Second, 2*time.Second })(&c)
		onRedis(r)(&c)
		c.DataDir = t.TempDir()
		c.HTTP.Listen, c.Admin.Listen = net.JoinHostPort(host, ports[i]), net.JoinHostPort(host, ports[2+i])
		c.Cluster.Node, c.Cluster.Listen = fmt.Sprint("n", i+1), net.JoinHostPort(host, ports[4+i])
		c.Cluster.Seeds = []string{net.JoinHostPort(host, ports[4]), net.JoinHostPort(host, ports[5])}
		c.Cluster.PublicURL, c.Cluster.Pairs = "http://"+c.HTTP.Listen, []configs.Pair{{"n1", "n2"}}
		n := &switchNode{server: server{t: t, cfg: c, log: new(buffer), addr: c.HTTP.Listen, ops: c.Admin.Listen}, file: filepath.Join(t.TempDir(), "deskline.yaml")}
		if i == 0 {
			n.accounts()
		}
		f, err := os.Create(n.file)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Print(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		pair = append(pair, n)
	}
	for _, n := range pair {
		n.start()
	}
	return pair
}

// alone waits until one node of the two holds the switch for good, and returns it and the
// other: a node that has just started does not know of others yet.
func alone(t *testing.T, pair []*switchNode) (holder, other *switchNode) {
	t.Helper()
	looks := 0
	eventually(t, "one of the nodes holds the switch", func() bool {
		a, b := pair[0].holds(), pair[1].holds()
		now := pair[0]
		if other = pair[1]; b {
			now, other = pair[1], pair[0]
		}
		if looks++; now != holder || a == b {
			looks = 0
		}
		holder = now
		return looks > 50
	})
	return holder, other
}

// TestSwitchTakeOver kills the node that hears the switch in the middle of a call: contacts at the other one
// see no change, and the end of the call, also if it ends while nobody hears.
func TestSwitchTakeOver(t *testing.T) {
	t.Parallel()
	p := esltest.Start(t, clueCon)
	pair := startSwitchPair(t, p)
	holder, other := alone(t, pair)
	_, bob := other.watching()
	p.Call("u1", "2001@pbx.example.com", "outbound", "ACTIVE")
	bob.sees(onThePhone)

	holder.kill()
	eventually(t, "the other node holds the switch", other.holds)
	if got := bob.ask(""); strings.Contains(got, "<presence") && !strings.Contains(got[strings.LastIndex(got, "<presence"):], onThePhone) {
		t.Errorf("a call that goes on: %s", got)
	}
	p.Hangup("u1")
	bob.sees(free)

	holder.start()
	if now, _ := alone(t, pair); now != holder {
		t.Fatal("the node that came back is not chosen again")
	}
	p.Call("u2", "2001@pbx.example.com", "outbound", "ACTIVE")
	bob.sees(onThePhone)
	holder.kill()
	p.Hangup("u2")
	bob.sees(free) // long before what the dead node said expires
}
