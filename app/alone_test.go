package app_test

import (
	"net/http"
	"testing"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/redistest"
)

// TestAloneTakesNoLines has a node be cut off from Redis: who tells it of a line learns that nobody else would hear of it, and is
// taken at their word when Redis is back.
func TestAloneTakesNoLines(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, "--appendfsync", "no")
	ports, host := freePorts(t, 1), pairHost()
	s := start(t, func(c *configs.Config) {
		withHistory(c)
		onRedis(r)(c)
		c.Cluster.Node, c.Cluster.Listen = "n1", host+":"+ports[0]
		c.Cluster.PublicURL = "http://" + host
	})
	s.line("idle")
	r.Freeze()
	eventually(t, "it is refused", func() bool { return s.report("in-call") == http.StatusServiceUnavailable })
	r.Thaw()
	s.line("in-call")
}
