package configs_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
)

// nodeYAML is the smallest file of a node in a cluster.
const nodeYAML = `
cluster:
  node: n1
  listen: ":7946"
  public_url: "https://n1.example.com:5280"
  seeds: ["n1.example.com:7946", "n2.example.com:7946"]
  pairs: [[n1, n2]]
`

func TestCluster(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OWFiY2RlZg==\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse([]byte(nodeYAML + "  key_file: " + key + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cfg.Cluster.GossipKey(); string(got) != "0123456789abcdef" || err != nil {
		t.Errorf("key %q, %v", got, err)
	}
	if want := []configs.Pair{{"n1", "n2"}}; !reflect.DeepEqual(cfg.Cluster.AllPairs(), want) {
		t.Errorf("pairs %v", cfg.Cluster.Pairs)
	}
	var out strings.Builder
	if err := cfg.Print(&out); err != nil || !strings.Contains(out.String(), "pairs: [[n1, n2]]") || strings.Contains(out.String(), "MDEy") {
		t.Errorf("printed as %s %v", out.String(), err)
	}
	if again, err := configs.Parse([]byte(strings.ReplaceAll(out.String(), `'***'`, `""`))); err != nil || !reflect.DeepEqual(again.Cluster.Pairs, cfg.Cluster.Pairs) {
		t.Errorf("read again: %v %v", again.Cluster.Pairs, err)
	}
	t.Setenv("DESKLINE_CLUSTER_PAIRS", "n1+n2, n3 + n4,n5")
	cfg, err = configs.Parse([]byte(nodeYAML))
	if want := []configs.Pair{{"n1", "n2"}, {"n3", "n4"}, {"n5"}}; err != nil || !reflect.DeepEqual(cfg.Cluster.Pairs, want) {
		t.Errorf("from the environment: %v %v", cfg.Cluster.Pairs, err)
	}
}

func TestClusterAlone(t *testing.T) {
	cfg, err := configs.Parse([]byte("cluster: {node: n1, public_url: \"http://127.0.0.1:5280\"}\n"))
	if want := []configs.Pair{{"n1"}}; err != nil || !reflect.DeepEqual(cfg.Cluster.AllPairs(), want) {
		t.Errorf("%v %v", cfg.Cluster.AllPairs(), err)
	}
}

func TestClusterRefused(t *testing.T) {
	for _, tt := range []struct{ name, old, replaced, want string }{
		{"no name", "node: n1", `node: ""`, "cluster.node: is missing"},
		{"bad name", "node: n1", `node: "n 1"`, `cluster.node: "n 1" is no name`},
		{"no address", `public_url: "https://n1.example.com:5280"`, `mode: manual`, "cluster.public_url: is missing"},
		{"address with a path", `5280"`, `5280/chat"`, "cluster.public_url: "},
		{"no pairs", "pairs: [[n1, n2]]", "pairs: []", "cluster.pairs: is missing"},
		{"not in a pair", "[[n1, n2]]", "[[n2, n3]]", "cluster.pairs: this node, n1, is in none of them"},
		{"in two pairs", "[[n1, n2]]", "[[n1, n2], [n2, n3]]", "cluster.pairs: n2 is there twice"},
		{"three in a pair", "[[n1, n2]]", "[[n1, n2, n3]]", "cluster.pairs: has 3 nodes in a pair"},
		{"no list of pairs", "[[n1, n2]]", "7", "cluster.pairs: is no list"},
		{"a number in a pair", "[[n1, n2]]", "[[n1, 2]]", "cluster.pairs: 2 is no name of a node"},
		{"no seed", `"n2.example.com:7946"`, `"https://n2"`, `cluster.seeds: "https://n2" is no address`},
		{"short key", "node: n1", "node: n1\n  key: c2hvcnQ=", "cluster.key: is no base64"},
		{"bad advertise", "node: n1", "node: n1\n  advertise: a/b", `cluster.advertise: "a/b" is no address`},
		{"window upside down", "node: n1", "node: n1\n  relogin_lower: 1m\n  relogin_upper: 1s", "cluster.relogin_upper: 1s is below cluster.relogin_lower, 1m"},
		{"no mode", "node: n1", "node: n1\n  mode: some", `cluster.mode: "some" is none of balanced, active-standby, manual`},
	} {
		file := strings.Replace(nodeYAML, tt.old, tt.replaced, 1)
		if _, err := configs.Parse([]byte(file)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
