package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/internal/xmpptest"
)

// pairHosts gives each pair an address of its own: ports found free on 127.0.0.1
// may be taken by others meanwhile.
var pairHosts atomic.Uint32

func pairHost() string {
	n := pairHosts.Add(1)
	return fmt.Sprintf("127.78.%d.%d", n/250, 1+n%250)
}

// stages is nodes that share a Redis.
type stages []*stage

// newPair sets two nodes up that share what a store file has, under a prefix of
// their own.
func newPair(t *testing.T, archive *txtar.Archive, store []byte, r *redistest.Server, prefix string) stages {
	t.Helper()
	ports, host := freePorts(t, 4), pairHost()
	var pair stages
	log := new(buffer) // gossip may have a word to say after the end
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	for i := range 2 {
		s := newServer(t, archive, store)
		c := &s.cfg
		c.Store.Kind, c.Redis.URL, c.Redis.Prefix = "redis", r.URL(), prefix
		c.Redis.Timeout = 30 * time.Second // many pairs share a Redis, on a machine that may be slow
		c.HTTP.Listen = net.JoinHostPort(host, ports[2*i])
		c.Admin.Listen = "127.0.0.1:0"
		c.Cluster.Node = fmt.Sprint("n", i+1)
		c.Cluster.Listen = net.JoinHostPort(host, ports[2*i+1])
		c.Cluster.Seeds = []string{net.JoinHostPort(host, ports[1]), net.JoinHostPort(host, ports[3])}
		c.Cluster.PublicURL = "http://" + c.HTTP.Listen
		c.Cluster.Pairs = []configs.Pair{{"n1", "n2"}}
		s.log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})).With("node", c.Cluster.Node)
		pair = append(pair, s)
	}
	_, err := app.CopyStore(t.Context(), pair[0].cfg, app.CopyOptions{From: "sqlite", To: "redis", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func (p stages) start() error {
	for _, s := range p {
		if err := s.start(); err != nil {
			return err
		}
	}
	return nil
}

func (p stages) stop() {
	for _, s := range p {
		s.stop()
	}
}

// apart gives each user a node, each one after the other another one.
func (p stages) apart(door xmpptest.Door, user string) string {
	return p[max(0, slices.Index(people, user))%len(p)].url(door, user)
}

// inTurn gives each request another node.
func (p stages) inTurn() func(xmpptest.Door, string) string {
	var n atomic.Int64
	return func(door xmpptest.Door, user string) string { return p[int(n.Add(1))%len(p)].url(door, user) }
}

// TestScriptsOnPair plays each conversation with two nodes that share a Redis:
// once over each door with everybody at another node, and once with each request
// sent to the other node than the one before.
func TestScriptsOnPair(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, "--appendfsync", "no")
	files, err := filepath.Glob(filepath.Join("..", "testdata", "script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	stores := map[string][]byte{} // by contacts
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archive := txtar.Parse(data)
		script, err := xmpptest.Parse(filepath.Base(file), string(archive.Comment))
		if err != nil {
			t.Fatal(err)
		}
		begin := beginning(archive)
		if stores[begin.String()] == nil {
			stores[begin.String()] = filledStore(t, begin)
		}
		name := strings.TrimSuffix(script.Name, ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, way := range []struct {
				name string
				door xmpptest.Door
				turn bool
			}{{"websocket", xmpptest.WebSocket, false}, {"bosh", xmpptest.BOSH, false}, {"bosh-in-turn", xmpptest.BOSH, true}} {
				t.Run(way.name, func(t *testing.T) {
					t.Parallel()
					if way.door == xmpptest.BOSH && strings.Contains(string(archive.Comment), "the server restarts") {
						t.Skip("sessions outlive the restart of one of two nodes")
					}
					if way.turn && name == "conflict" {
						t.Skip("with no connection of its own nothing proves that a client got the last response")
					}
					pair := newPair(t, archive, stores[begin.String()], r, name+"-"+way.name+":")
					defer pair.stop()
					if err := pair.start(); err != nil {
						t.Fatal(err)
					}
					url := pair.apart
					if way.turn {
						url = pair.inTurn()
					}
					err := xmpptest.Play(t.Context(), xmpptest.Config{
						Domain: domain, Password: secret, Door: way.door, URL: url,
						Restart: func(context.Context) error { pair.stop(); return pair.start() }, Administer: pair.administer,
					}, script)
					if err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}
