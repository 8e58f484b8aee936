package cluster_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/deskline/deskline/cluster"
)

func TestMeta(t *testing.T) {
	full := cluster.Meta{
		PublicURL: "https://n1.example.com:5280", InternalURL: "http://10.0.0.1:5280", BOSH: "/http-bind", WebSocket: "/xmpp-websocket",
		Version: "v1.2.3-4-gabcdef0", Incarnation: 1 << 63, Sessions: 50000, Epoch: 300, Healthy: true, Draining: true, Leaving: true,
	}
	for name, m := range map[string]cluster.Meta{"nothing": {}, "all": full, "one flag": {Draining: true}} {
		data, err := m.Encode()
		if err != nil {
			t.Fatal(name, err)
		}
		again, _ := m.Encode()
		if got, err := cluster.DecodeMeta(data); err != nil || got != m || !bytes.Equal(data, again) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
		if len(data) > 160 {
			t.Errorf("%s: %d bytes are much", name, len(data))
		}
	}
	data, _ := full.Encode()
	newer := append(bytes.Clone(data), 200, 3, 'n', 'e', 'w')
	if got, err := cluster.DecodeMeta(newer); err != nil || got != full {
		t.Errorf("with what a newer node tells: %+v %v", got, err)
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "another format": {9}, "cut": data[:len(data)-1], "no length": {1, 1}, "a number too long": {1, 6, 2, 1, 1},
		"a script":   append([]byte{1, 1, 19}, "javascript:alert(1)"...),
		"a path":     append([]byte{1, 1, 20}, "https://a.example/ab"...),
		"a password": append([]byte{1, 2, 21}, "https://a:b@a.example"...),
		"too much":   append([]byte{1}, make([]byte, 600)...),
	} {
		if m, err := cluster.DecodeMeta(bad); err == nil {
			t.Errorf("%s: taken as %+v", name, m)
		}
	}
	if _, err := (cluster.Meta{PublicURL: "https://" + strings.Repeat("a", 510)}).Encode(); err == nil {
		t.Error("no limit")
	}
}

func TestDoors(t *testing.T) {
	m := cluster.Meta{PublicURL: "https://n1.example.com:5280/", BOSH: "/http-bind", WebSocket: "/xmpp-websocket"}
	if bosh, ws := m.Doors(); bosh != "https://n1.example.com:5280/http-bind" || ws != "wss://n1.example.com:5280/xmpp-websocket" {
		t.Error(bosh, ws)
	}
	m = cluster.Meta{PublicURL: "http://127.0.0.1:5280", WebSocket: "/ws"}
	if bosh, ws := m.Doors(); bosh != "" || ws != "ws://127.0.0.1:5280/ws" || m.Reach() != m.PublicURL {
		t.Error(bosh, ws)
	}
	if m.InternalURL = "http://10.0.0.1:1"; m.Reach() != m.InternalURL {
		t.Error(m.Reach())
	}
}

func FuzzMeta(f *testing.F) {
	data, _ := cluster.Meta{PublicURL: "https://n1.example.com", Version: "1", Epoch: 7, Healthy: true}.Encode()
	f.Add(data)
	f.Add([]byte{1, 200, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := cluster.DecodeMeta(data)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cluster.DecodeMeta(again); err != nil || got != m {
			t.Fatalf("%+v became %+v, %v", m, got, err)
		}
	})
}
