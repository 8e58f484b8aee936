package app_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/redistest"
)

// TestHistoryOnPair lives the same with two nodes: all that one hears, and what the other is asked.
func TestHistoryOnPair(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, "--appendfsync", "no")
	ports, host := freePorts(t, 4), pairHost()
	var pair []*server
	for i := range 2 {
		pair = append(pair, start(t, func(c *configs.Config) {
			withHistory(c)
			onRedis(r)(c)
			c.HTTP.Listen = net.JoinHostPort(host, ports[i])
			c.Cluster.Node, c.Cluster.Listen = fmt.Sprint("n", i+1), net.JoinHostPort(host, ports[2+i])
			c.Cluster.Seeds = []string{net.JoinHostPort(host, ports[2]), net.JoinHostPort(host, ports[3])}
			c.Cluster.PublicURL, c.Cluster.Pairs = "http://"+c.HTTP.Listen, []configs.Pair{{"n1", "n2"}}
		}))
	}
	live(t, pair[0], pair[1], pair[1])
}

// TestHistoryAfterKill kills a node: who was there and does not come again is unavailable from the next start on.
func TestHistoryAfterKill(t *testing.T) {
	t.Parallel()
	ports, host := freePorts(t, 2), pairHost()
	c := configs.Default()
	c.DataDir, c.HTTP.Listen, c.Admin.Listen = t.TempDir(), net.JoinHostPort(host, ports[0]), net.JoinHostPort(host, ports[1])
	s := &server{t: t, cfg: c, log: new(buffer), ops: c.Admin.Listen}
	s.accounts()
	file := filepath.Join(t.TempDir(), "deskline.yaml")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Print(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	kill := s.spawn(file)
	s.login("alice").ask("<presence xmlns='jabber:client'><show>dnd</show></presence>")
	s.was(", dnd by resource")
	kill()
	s.spawn(file)
	if got := states(s.was("unavailable by resource")); got != ", dnd by resource, unavailable by resource" {
		t.Error(got)
	}
}
