package cluster_test

import (
	"testing"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/store/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.ClusterStore(t, func(*testing.T) (cluster.Store, func() cluster.Store) { return cluster.NewMemoryStore(), nil })
}
