package peer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/deskline/deskline/store/redis"
)

// Group are the nodes of one cluster; the Redis they share is the caller's.
type Group struct {
	Redis string // its URL

	nodes  int
	gossip []string // addresses
}

const nodeConfig = `store: {kind: redis}
redis: {url: "%s"}
cluster:
  node: n%d
  listen: "%s"
  public_url: "http://127.0.0.1:%d"
  seeds: [%s]
  pairs: [[n1, n2]]
`

// nodePlan is the next node of a group. The first one writes the users.
func nodePlan(ctx context.Context, dir string, port int, o Options) (plan, error) {
	g := o.Cluster
	if g == nil {
		return plan{}, errors.New("it is of no cluster")
	}
	if g.nodes == 0 {
		if err := seedRedis(ctx, g.Redis, o); err != nil {
			return plan{}, err
		}
	}
	gossip, err := freePort()
	if err != nil {
		return plan{}, err
	}
	g.nodes++
	address := "127.0.0.1:" + strconv.Itoa(gossip)
	seeds := ""
	for _, other := range g.gossip {
		seeds += strconv.Quote(other) + ", "
	}
	g.gossip = append(g.gossip, address)
	return servePlan(dir, filepath.Join(dir, "data"), port, o, fmt.Sprintf(nodeConfig, g.Redis, g.nodes, address, port, seeds))
}

func seedRedis(ctx context.Context, url string, o Options) error {
	store, err := redis.Open(ctx, redis.Config{URL: url, Prefix: "deskline:"})
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return errors.Join(seed(ctx, store, o), store.Close())
}

// redisPlan is a Redis set up as the documentation of the store has it.
func redisPlan(_ context.Context, dir string, port int, o Options) (plan, error) {
	fsync := o.Fsync
	if fsync == "" {
		fsync = "always"
	}
	return plan{
		argv: []string{
			"redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "",
			"--maxmemory-policy", "noeviction", "--appendonly", "yes", "--appendfsync", fsync,
		},
		url: "redis://127.0.0.1:" + strconv.Itoa(port) + "/0",
	}, nil
}
