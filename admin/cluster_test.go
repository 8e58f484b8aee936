package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/deskline/deskline/admin"
)

// nodes is a cluster that notes its orders.
type nodes struct{ told []string }

func (n *nodes) Status() admin.ClusterStatus {
	return admin.ClusterStatus{Node: "n1", Epoch: 7, Mode: "balanced", Nodes: []admin.ClusterNode{{Node: "n1", State: "Normal"}}}
}

func (n *nodes) Locate(user string) (admin.ClusterAssignment, error) {
	return admin.ClusterAssignment{User: user, Primary: "n1"}, nil
}

func (n *nodes) Assign(_ context.Context, user, primary, secondary string) (admin.ClusterAssignment, error) {
	n.told = append(n.told, fmt.Sprint("assign ", user, " ", primary, " ", secondary))
	return admin.ClusterAssignment{User: user, Primary: primary, Secondary: secondary, Explicit: true}, nil
}

func (n *nodes) Order(_ context.Context, order, node string) error {
	n.told = append(n.told, order+" "+node)
	switch node {
	case "n9":
		return admin.Refusal("there is no n9")
	case "broken":
		return errors.New("disk full")
	}
	return nil
}

func TestCluster(t *testing.T) {
	const kind = "Content-Type: application/json"
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		text, told               string
	}{
		{"status", "GET", "/cluster", "", nil, 200, `"epoch":7`, ""},
		{"a user", "GET", "/cluster/users/alice@example.com", "", nil, 200, `"user":"alice@example.com","primary":"n1"`, ""},
		{"assign", "POST", "/cluster/assign", `{"user":"alice","primary":"n1","secondary":"n2"}`, []string{kind}, 200, `"explicit":true`, "assign alice n1 n2"},
		{"failover", "POST", "/cluster/failover", `{"node":"n1"}`, []string{kind}, 200, `"state":"Normal"`, "failover n1"},
		{"fallback", "POST", "/cluster/fallback", `{"node":"n1"}`, []string{kind}, 200, `"state"`, "fallback n1"},
		{"recover", "POST", "/cluster/recover", `{"node":"n1"}`, []string{kind}, 200, `"state"`, "recover n1"},
		{"drain", "POST", "/cluster/drain", `{"node":"n1"}`, []string{kind + "; charset=utf-8"}, 200, `"state"`, "drain n1"},
		{"refused", "POST", "/cluster/drain", `{"node":"n9"}`, []string{kind}, 409, `{"error":"there is no n9"}`, "drain n9"},
		{"failed", "POST", "/cluster/drain", `{"node":"broken"}`, []string{kind}, 500, "disk full", "drain broken"},
		{"no such order", "POST", "/cluster/explode", `{}`, []string{kind}, 404, "", ""},
		{"reading does nothing", "GET", "/cluster/drain", "", nil, 405, "", ""},
		{"no JSON", "POST", "/cluster/drain", "node=n1", []string{kind}, 400, "cannot be read", ""},
		{"another key", "POST", "/cluster/drain", `{"nodes":"n1"}`, []string{kind}, 400, "nodes", ""},
		{"a form of some page", "POST", "/cluster/drain", `{"node":"n1"}`, []string{"Content-Type: text/plain"}, 403, "JSON", ""},
		{"a script of some page", "POST", "/cluster/drain", `{"node":"n1"}`, []string{kind, "Origin: https://evil.example"}, 403, "another site", ""},
		{"another machine", "POST", "/cluster/drain", `{"node":"n1"}`, []string{kind, "Remote: 192.0.2.1:1"}, 403, "", ""},
	} {
		n := &nodes{}
		s := admin.New(admin.Config{Cluster: n, Log: quiet()})
		w := ask(s, tt.method, tt.path, tt.body, tt.headers...)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.text) || strings.Join(n.told, ";") != tt.told {
			t.Errorf("%s: %d %s, told %q", tt.name, w.Code, w.Body, n.told)
		}
	}
	w := ask(admin.New(admin.Config{Log: quiet()}), "GET", "/cluster", "")
	if w.Code != 404 || !strings.Contains(w.Body.String(), "cluster.node") {
		t.Errorf("alone: %d %s", w.Code, w.Body)
	}
}

func TestDescribe(t *testing.T) {
	s := admin.New(admin.Config{Log: quiet()})
	var failure error
	s.Describe("cluster", func(context.Context) (string, error) { return "n1 alive", failure })
	if w := ask(s, "GET", "/readyz", ""); !strings.HasPrefix(w.Body.String(), "ready\ncluster: ok, n1 alive (") {
		t.Error(w.Body)
	}
	failure = errors.New("drained")
	w := ask(s, "GET", "/readyz?format=json", "")
	var doc struct {
		Checks []struct{ Error, Detail string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 503 || doc.Checks[0].Error != "drained" || doc.Checks[0].Detail != "n1 alive" {
		t.Errorf("%v %d %+v", err, w.Code, doc)
	}
}

func TestLabelled(t *testing.T) {
	m := admin.NewMetrics("1", quiet())
	m.Failover("Peer Down")
	if err := m.Watch(admin.Sources{Labelled: []admin.Labelled{{
		Name: "deskline_cluster_members", Help: "Nodes.", Labels: []string{"state"},
		Read: func(emit func(float64, ...string)) { emit(2, "alive"); emit(1, "dead") },
	}}}); err != nil {
		t.Fatal(err)
	}
	text := ask(admin.New(admin.Config{Metrics: m, Log: quiet()}), "GET", "/metrics", "").Body.String()
	for _, want := range []string{`deskline_cluster_members{state="alive"} 2`, `deskline_cluster_members{state="dead"} 1`, `deskline_failovers_total{reason="Peer Down"} 1`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}
