package app_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/redistest"
)

// process is a node that runs as a process of its own.
type process struct {
	t      testing.TB
	binary string
	file   string // its configuration
	door   string
	admin  string
	log    *buffer
	cmd    *exec.Cmd
	done   chan error
}

// start starts a node that does not run and returns once it answers.
func (p *process) start(t testing.TB) {
	t.Helper()
	// Not ended with a context: signals end it.
	p.cmd = exec.Command(p.binary, "serve", "-c", p.file) // ended by end
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, done := p.cmd, make(chan error, 1)
	p.done = done
	go func() { done <- cmd.Wait() }()
	eventually(t, "node at "+p.door, func() bool {
		res, err := http.Get(p.door) // it answers or refuses at once
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return true
	})
}

func (p *process) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// end ends the node by a signal.
func (p *process) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	p.signal(t, sig)
	if err := <-p.done; err != nil && sig == syscall.SIGTERM {
		t.Errorf("stop: %v", err)
	}
	p.done <- nil // for the cleanup
}

// nodePair is two nodes that share a Redis.
type nodePair struct {
	redis *redistest.Server
	cable *cable // between the first node and Redis
	lane  *cable // from the second node to the first
	nodes []*process
}

const clusterUsers = 8

func chatName(i int) string { return fmt.Sprintf("user%d", i) }

// startCluster starts two nodes; more is added to the configuration of each.
func startCluster(t testing.TB, more ...string) *nodePair {
	t.Helper()
	return startClusterOf(t, clusterUsers, more...)
}

func startClusterOf(t testing.TB, users int, more ...string) *nodePair {
	t.Helper()
	dir, ports := t.TempDir(), freePorts(t, 6)
	binary := filepath.Join(dir, "deskline")
	command(t, "", "go", "build", "-o", binary, "github.com/deskline/deskline/cmd/deskline")
	// An address of their own: ports found free on 127.0.0.1 may be taken by others meanwhile.
	c := &nodePair{redis: redistest.Start(t, "--appendfsync", "always")}
	c.cable, c.lane = newCable(t, c.redis.Addr()), newCable(t, "127.77.0.1:"+ports[0])
	accounts := "user,password,name,email,groups\n"
	for i := range users {
		accounts += chatName(i) + "," + password + ",,,crew\n"
	}
	for i := range 2 {
		name, p := fmt.Sprintf("n%d", i+1), ports[3*i:]
		internal := []string{c.lane.addr(), "127.77.0.1:" + p[0]}[i]
		redis := []string{"redis://" + c.cable.addr() + "/0", c.redis.URL()}[i]
		file := filepath.Join(dir, name+".yaml")
		config := fmt.Sprintf(`domains: [localhost]
data_dir: %s
http: {listen: "127.77.0.1:%s"}
admin: {listen: "127.77.0.1:%s"}
redis: {url: %q}
store: {kind: redis}
cluster:
  node: %s
  listen: "127.77.0.1:%s"
  public_url: "http://127.77.0.1:%[2]s"
  internal_url: "http://%[9]s"
  seeds: ["127.77.0.1:%[7]s", "127.77.0.1:%[8]s"]
  pairs: [[n1, n2]]
  relogin_upper: 1s
`, filepath.Join(dir, name), p[0], p[1], redis, name, p[2], ports[2], ports[5], internal)
		if len(more) > 0 {
			config += more[i]
		}
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			command(t, accounts, binary, "user", "import", "-c", file, "-")
		}
		c.nodes = append(c.nodes, &process{t: t, binary: binary, file: file, door: "http://127.77.0.1:" + p[0] + "/http-bind", admin: "http://127.77.0.1:" + p[1], log: new(buffer)})
	}
	for _, n := range c.nodes {
		t.Cleanup(func() {
			if n.cmd != nil && n.done != nil {
				_ = n.cmd.Process.Kill() // it may have ended
				<-n.done
			}
			if t.Failed() {
				t.Logf("log of %s:\n%s", n.file, n.log)
			}
		})
		n.start(t)
	}
	return c
}

func command(t testing.TB, in, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// crowd is chatters in pairs: of one node, of the other, and of both.
type crowd struct {
	all  []*chatter
	stop chan struct{} // ends the talk
	wait sync.WaitGroup
	talk sync.WaitGroup
}

func startCrowd(t *testing.T, c *nodePair) *crowd {
	t.Helper()
	for _, n := range c.nodes {
		eventually(t, n.admin+" is ready", func() bool {
			res, err := http.Get(n.admin + "/readyz") // it answers or refuses at once
			if err != nil {
				return false
			}
			_ = res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
	}
	g := &crowd{stop: make(chan struct{})}
	doors := []string{c.nodes[0].door, c.nodes[1].door}
	for i, home := range []int32{0, 0, 1, 1, 0, 1, 1, 0} {
		g.all = append(g.all, newChatter(chatName(i), home, doors))
	}
	for i, c := range g.all {
		c.mate = g.all[i^1]
		c.roams = true // as behind a load balancer: nobody else knows of the session before it is bound
		if err := c.login(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range g.all {
		c.roams = false
		c.goHome()
		c.last = time.Now()
		g.wait.Go(func() { c.wait(t.Context()) })
		g.talk.Go(func() { c.talk(t.Context(), g.stop) })
	}
	return g
}

// flows waits until every chatter has something that was sent after now.
func (g *crowd) flows(t testing.TB) {
	t.Helper()
	past := make([]int, len(g.all))
	for i, c := range g.all {
		past[i] = c.mate.state().sent + 1 // one is on its way
	}
	g.until(t, "numbers flow", func(i int, s chatterState) bool { return len(s.got) > past[i] })
}

// until waits until ok for every chatter.
func (g *crowd) until(t testing.TB, what string, ok func(int, chatterState) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		all := true
		for i, c := range g.all {
			s := c.state()
			if s.err != nil {
				t.Fatal(s.err)
			}
			all = all && ok(i, s)
		}
		return all
	})
}

// judge ends the talk: all numbers arrived once and in order, and nobody seemed
// to leave until somebody does. It returns the longest time without a number.
func (g *crowd) judge(t testing.TB) (pause time.Duration) {
	t.Helper()
	close(g.stop)
	g.talk.Wait()
	g.until(t, "the last numbers", func(i int, s chatterState) bool { return len(s.got) >= g.all[i].mate.state().sent })
	for _, c := range g.all {
		s := c.state()
		pause = max(pause, s.pause)
		want := make([]int, c.mate.state().sent)
		for n := range want {
			want[n] = n
		}
		if !slices.Equal(s.got, want) {
			t.Errorf("%s: %d numbers were accepted, got %v", c.user, len(want), s.got)
		}
		if len(s.away) > 0 {
			t.Errorf("%s: unavailable presence of %v", c.user, s.away)
		}
	}
	for i := 0; i < len(g.all); i += 2 {
		left, stays := g.all[i], g.all[i+1]
		if err := left.leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, left.user+" is seen to leave", func() bool { return slices.Equal(stays.state().away, []string{left.full()}) })
		if err := stays.leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	g.wait.Wait()
	return pause
}

// Nodes and Redis fail while clients talk: no message is lost, repeated or out
// of order, no session ends, and no contact sees anybody leave.
func TestTakeover(t *testing.T) {
	c := startCluster(t)
	for _, tt := range []struct {
		name    string
		nodes   []int         // that fail, one after the other
		longest time.Duration // without a message
		fail    func(t *testing.T, c *nodePair, n *process, g *crowd)
	}{
		{"nodes are killed", []int{0, 1, 0, 1}, 8 * time.Second, killed},
		{"nodes are stopped", []int{0, 1}, 3 * time.Second, stopped},
		{"users are handed over", []int{0, 1}, 3 * time.Second, handedOver},
		{"nodes are halted", []int{0}, 8 * time.Second, halted},
		{"a node is cut off from Redis", []int{0}, 8 * time.Second, cutOff},
		{"nodes cannot reach each other", []int{0}, 8 * time.Second, apart},
		{"Redis is killed", []int{0}, 8 * time.Second, withoutRedis},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := startCrowd(t, c)
			g.flows(t)
			for _, i := range tt.nodes {
				tt.fail(t, c, c.nodes[i], g)
				for _, c := range g.all {
					c.goHome()
				}
				g.flows(t)
			}
			pause := g.judge(t)
			t.Logf("at most %v without a message", pause.Round(time.Millisecond))
			if pause > tt.longest {
				t.Errorf("%v without a message, want at most %v", pause, tt.longest)
			}
		})
	}
}

func killed(t *testing.T, _ *nodePair, n *process, g *crowd) {
	t.Helper()
	n.end(t, syscall.SIGKILL)
	g.flows(t)
	n.start(t)
}

func stopped(t *testing.T, _ *nodePair, n *process, g *crowd) {
	t.Helper()
	n.end(t, syscall.SIGTERM)
	g.flows(t)
	n.start(t)
}

// handedOver has an administrator move the users of a node away and back.
func handedOver(t *testing.T, c *nodePair, n *process, g *crowd) {
	t.Helper()
	before := strings.Count(n.log.String(), "session goes on at another node")
	for _, order := range []string{"drain", "fallback"} {
		command(t, "", n.binary, "cluster", order, "-c", n.file, fmt.Sprintf("n%d", slices.Index(c.nodes, n)+1))
		g.flows(t)
		if order == "drain" {
			n.refuses(t)
		}
	}
	if now := strings.Count(n.log.String(), "session goes on at another node"); now == before {
		t.Error("nothing was handed over")
	}
}

// refuses makes sure that new clients are sent elsewhere.
func (p *process) refuses(t testing.TB) {
	t.Helper()
	c := newChatter(chatName(0), 0, []string{p.door})
	a, _, err := c.post(t.Context(), p.door, "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost' ver='1.11' wait='1' hold='1'/>")
	if err != nil || a.Condition != "see-other-uri" {
		t.Errorf("a drained node answers %+v %v", a, err)
	}
}

// halted has a node wake up that others took for dead: it is to let go of its
// sessions, and of requests that it had got.
func halted(t *testing.T, _ *nodePair, n *process, g *crowd) {
	t.Helper()
	const lapsed = "cluster lease had lapsed"
	before := strings.Count(n.log.String(), lapsed)
	n.signal(t, syscall.SIGSTOP)
	<-time.After(5 * time.Second)
	g.flows(t)
	n.signal(t, syscall.SIGCONT)
	eventually(t, lapsed, func() bool { return strings.Count(n.log.String(), lapsed) > before })
}

// cutOff has a node lose Redis that the other has: it is to pass on all that
// comes.
func cutOff(t *testing.T, c *nodePair, n *process, g *crowd) {
	t.Helper()
	const cut = "cut off from Redis, unlike others"
	before := strings.Count(n.log.String(), cut)
	c.cable.set(true)
	eventually(t, cut, func() bool { return strings.Count(n.log.String(), cut) > before })
	for _, c := range g.all {
		c.goHome()
	}
	g.flows(t)
	lapsed := strings.Count(n.log.String(), "cluster lease had lapsed")
	c.cable.set(false)
	eventually(t, "the lease again", func() bool { return strings.Count(n.log.String(), "cluster lease had lapsed") > lapsed })
}

// apart has all clients come to a node that cannot pass on what is another
// node's.
func apart(t *testing.T, c *nodePair, n *process, g *crowd) {
	t.Helper()
	c.lane.set(true)
	before := strings.Count(n.log.String(), "session goes on at another node")
	for _, c := range g.all {
		c.at.Store(1)
	}
	g.flows(t)
	eventually(t, "sessions are granted", func() bool { return strings.Count(n.log.String(), "session goes on at another node") > before })
	c.lane.set(false)
}

func withoutRedis(t *testing.T, c *nodePair, _ *process, _ *crowd) {
	t.Helper()
	c.redis.Kill()
	<-time.After(1500 * time.Millisecond)
	c.redis.Start()
}
