package app_test

import (
	"fmt"
	"net"
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
