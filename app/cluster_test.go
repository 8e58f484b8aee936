package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
)

// freePorts returns ports that are free now.
func freePorts(t testing.TB, count int) []string {
	t.Helper()
	var ports []string
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // once all are found, so that they differ
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports
}

// run runs a node until the test ends and returns once it is ready.
func run(t *testing.T, file string) {
	t.Helper()
	cfg, err := configs.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- app.Run(ctx, app.Options{Config: cfg, Log: slog.New(slog.DiscardHandler), Ready: func(_, _ net.Addr) { close(ready) }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
}

// cluster runs nodes n1, n2, … and returns their addresses.
func cluster(t *testing.T, count int, pairs string) []string {
	t.Helper()
	ports := freePorts(t, 2*count)
	var seeds, bases []string
	for i := range count {
		bases = append(bases, "http://127.0.0.1:"+ports[2*i])
		seeds = append(seeds, "127.0.0.1:"+ports[2*i+1])
	}
	dir := t.TempDir()
	for i := range count {
		name := fmt.Sprint("n", i+1)
		run(t, fmt.Sprintf(`
domains: [example.com]
data_dir: %q
http: {listen: "127.0.0.1:%s"}
admin: {listen: "127.0.0.1:0"}
discovery: {rate: 0}
cluster: {node: %s, listen: %q, public_url: %q, seeds: [%s], pairs: %s}
`, filepath.Join(dir, name), ports[2*i], name, seeds[i], bases[i], strings.Join(seeds, ", "), pairs))
	}
	return bases
}

func fetch(t testing.TB, r *http.Request) string {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", r.URL, res.StatusCode, body, err)
	}
	return string(body)
}

func get(t testing.TB, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fetch(t, r)
}

type found struct {
	Epoch     int
	Primary   struct{ Node, BOSH string }
	Secondary *struct{ Node, BOSH string }
}

func nodesOf(t *testing.T, base, user string) (f found) {
	t.Helper()
	if err := json.Unmarshal([]byte(get(t, base+"/discovery/v1/nodes?user="+user)), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFiveNodes asks each of five nodes for users of all of them.
func TestFiveNodes(t *testing.T) {
	bases := cluster(t, 5, "[[n1, n2], [n3, n4], [n5]]")
	for _, base := range bases {
		eventually(t, base+" does not find the others", func() bool {
			for i := range 40 {
				f := nodesOf(t, base, fmt.Sprint("user", i))
				if f.Secondary == nil && f.Primary.Node != "n5" {
					return false
				}
			}
			return true
		})
	}
	mates := map[string]string{"n1": "n2", "n2": "n1", "n3": "n4", "n4": "n3"}
	homes := map[string]int{}
	for i := range 40 {
		user := fmt.Sprint("user", i)
		first := nodesOf(t, bases[0], user)
		homes[first.Primary.Node]++
		if mate := mates[first.Primary.Node]; mate != "" && (first.Secondary == nil || first.Secondary.Node != mate) {
			t.Errorf("%s: %+v", user, first)
		}
		for _, base := range bases[1:] {
			if f := nodesOf(t, base, user); f.Primary != first.Primary || (f.Secondary == nil) != (first.Secondary == nil) {
				t.Errorf("%s: %s says %+v, not %+v", user, base, f, first)
			}
		}
	}
	if len(homes) != 5 {
		t.Errorf("homes %v", homes)
	}
}

// TestOtherWays shows what clients learn who do not know our discovery.
func TestOtherWays(t *testing.T) {
	bases := cluster(t, 2, "[[n1, n2]]")
	meta := bases[0] + "/.well-known/host-meta.json"
	eventually(t, "host-meta does not name the mate", func() bool {
		text := get(t, meta)
		return strings.Contains(text, bases[0]+"/http-bind") && strings.Contains(text, bases[1]+"/http-bind")
	})
	const names = "</mechanism><hostname>127.0.0.1</hostname><hostname>127.0.0.1</hostname></mechanisms>"
	for from, want := range map[string]bool{"alice@example.com": true, "nobody-has-this-name@example.com": true, "alice@example.net": false, "": false} {
		body := "<body rid='1' to='example.com' wait='5' hold='1' ver='1.6' xml:lang='en' xmlns='http://jabber.org/protocol/httpbind'"
		if from != "" {
			body += " from='" + from + "'"
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, bases[0]+"/http-bind", bytes.NewBufferString(body+"/>"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "text/xml")
		if got := fetch(t, r); strings.Contains(got, names) != want {
			t.Errorf("from %q: %s", from, got)
		}
	}
}

// TestAlone shows that a node without a name answers discovery with itself.
func TestAlone(t *testing.T) {
	port := freePorts(t, 1)[0]
	run(t, fmt.Sprintf("domains: [example.com]\ndata_dir: %q\nhttp: {listen: \"127.0.0.1:%s\"}\nadmin: {listen: \"127.0.0.1:0\"}\n", t.TempDir(), port))
	f := nodesOf(t, "http://localhost:"+port, "alice@example.com")
	if f.Primary.Node != "local" || f.Primary.BOSH != "http://localhost:"+port+"/http-bind" || f.Secondary != nil {
		t.Errorf("%+v", f)
	}
}
