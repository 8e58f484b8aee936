package configs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/deskline/deskline/configs"
)

func TestDefaultFileIsDefault(t *testing.T) {
	got, err := configs.Parse([]byte(configs.DefaultYAML))
	if err != nil {
		t.Fatal(err)
	}
	if want := configs.Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("default.yaml gives\n%+v\nDefault is\n%+v", got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestDefaultFileHasEveryKey(t *testing.T) {
	inFile, printed := leaves(t, configs.DefaultYAML), leaves(t, print(t, configs.Default()))
	if !slices.Equal(inFile, printed) {
		t.Errorf("default.yaml has the keys\n%s\nthe struct\n%s", inFile, printed)
	}
}

// TestDefaultFileMarksLive compares the marks in the comments with the tags.
func TestDefaultFileMarksLive(t *testing.T) {
	key := regexp.MustCompile(`^( *)([a-z_0-9]+):`)
	path, marked := []string{}, false
	got := map[string]bool{}
	for line := range strings.Lines(configs.DefaultYAML) {
		m := key.FindStringSubmatch(line)
		if m == nil {
			marked = marked && strings.Contains(line, "#") || strings.Contains(line, "(live)")
			continue
		}
		path = append(path[:len(m[1])/2], m[2])
		value, _, _ := strings.Cut(line[len(m[0]):], "#")
		if len(path) > 1 && strings.TrimSpace(value) != "" {
			got[strings.Join(path, ".")] = marked || strings.Contains(line, "(live)")
		}
		marked = marked && m[2] == "cert_file" // its comment is for key_file too
	}
	for path, live := range got {
		if want := isLive(t, path); live != want {
			t.Errorf("%s: marked live %v, want %v", path, live, want)
		}
	}
	if len(got) < 50 {
		t.Errorf("only %d keys found", len(got))
	}
}

// isLive changes one key and asks Diff.
func isLive(t *testing.T, path string) bool {
	t.Helper()
	before, after := configs.Default(), configs.Default()
	v := reflect.ValueOf(&after).Elem()
	for part := range strings.SplitSeq(path, ".") {
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("key") == part {
				v = v.Field(i)
				break
			}
		}
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("changed")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 9, 9))
	default:
		v.SetInt(v.Int() + 1)
	}
	live, restart := configs.Diff(before, after)
	if len(live)+len(restart) != 1 || append(live, restart...)[0] != path {
		t.Fatalf("change of %s: live %v, restart %v", path, live, restart)
	}
	return len(live) == 1
}

func TestShippedFiles(t *testing.T) {
	for name, text := range map[string]string{
		"default.yaml": configs.DefaultYAML, "example.yaml": configs.ExampleYAML, "demo.yaml": configs.DemoYAML,
	} {
		if _, err := configs.Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	demo, err := configs.Load("")
	if err != nil || !demo.Demo.Enabled || demo.DataDir != "./data" {
		t.Errorf("without a file: %+v, %v", demo.Demo, err)
	}
}

func TestParse(t *testing.T) {
	const file = `
domains: [Example.COM, münchen.example]
data_dir: /var/lib/deskline
http: {listen: "127.0.0.1:0", plain: trusted, trusted_proxies: [127.0.0.1, 10.1.2.3/8, "2001:db8::/32"], cors_origins: "*"}
bosh: {inactivity: 90s, hold: 2, requests: 3}
limits:
  body: 1MiB
  stanza: 10000
log:
`
	got, err := configs.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"example.com", "münchen.example"}; !slices.Equal(got.Domains, want) {
		t.Errorf("domains %q, want %q", got.Domains, want)
	}
	if s := fmt.Sprint(got.HTTP.TrustedProxies); s != "[127.0.0.1/32 10.0.0.0/8 2001:db8::/32]" {
		t.Errorf("trusted_proxies %s", s)
	}
	if !slices.Equal(got.HTTP.CORSOrigins, []string{"*"}) {
		t.Errorf("cors_origins %q", got.HTTP.CORSOrigins)
	}
	if got.BOSH.Inactivity != 90*time.Second || got.BOSH.Hold != 2 || got.BOSH.Wait != 55*time.Second {
		t.Errorf("bosh %+v", got.BOSH)
	}
	if got.Limits.Body != configs.MiB || got.Limits.Stanza != 10000 || got.Log.Level != "info" {
		t.Errorf("limits %+v, log %+v", got.Limits, got.Log)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       []string
	}{
		{"misspelt key", "bosh:\n  wiat: 5s\n", []string{"bosh.wiat: unknown key, did you mean bosh.wait? (line 2)"}},
		{"key in the wrong section", "inactivity: 5s\n", []string{"inactivity: unknown key, did you mean bosh.inactivity? (line 1)"}},
		{"capitals", "Domains: [a.example]\n", []string{"Domains: unknown key, did you mean domains? (line 1)"}},
		{"key far from all", "prometheus_exporter: 1\n", []string{"prometheus_exporter: unknown key (line 1)"}},
		{"path as a key", "bosh.wait: 5s\n", []string{"bosh.wait: unknown key"}},
		{"above", "bosh: {wait: 3h}\n", []string{"bosh.wait: 3h is above 10m (line 1)"}},
		{"below", "limits: {stanza: 9KiB}\n", []string{"limits.stanza: 9KiB is below 10000 (line 1)"}},
		{"no unit", "bosh: {wait: 60}\n", []string{"bosh.wait: 60 has no unit, write 60s or 60m (line 1)"}},
		{"no duration", "bosh: {wait: soon}\n", []string{`bosh.wait: "soon" is no duration`}},
		{"no size", "limits: {body: 1x}\n", []string{`limits.body: "1x" is no size`}},
		{"no number", "bosh: {hold: many}\n", []string{`bosh.hold: "many" is no whole number`}},
		{"neither true nor false", "demo: {enabled: maybe}\n", []string{`demo.enabled: "maybe" is neither true nor false`}},
		{"none of the words", "log: {level: loud}\n", []string{`log.level: "loud" is none of debug, info, warn, error`}},
		{"number as text", "demo: {password: 0123}\n", []string{"demo.password: ", "put it into quotes"}},
		{"section is a value", "log: debug\n", []string{"log: is a section, its keys stand below it (line 1)"}},
		{"value is a section", "data_dir: {a: b}\n", []string{"data_dir: has keys below it, one value is expected"}},
		{"value is a list", "log: {level: [info]}\n", []string{"log.level: is a list, one value is expected"}},
		{"list is a number", "domains: 5\n", []string{"domains: is no list"}},
		{"list with a hole", "domains: [a.example, ]\nbosh: {paths: [/a, ~]}\n", []string{"bosh.paths: has nothing in place 2"}},
		{"no domain", "domains: []\n", []string{"domains: is empty"}},
		{"bad domain", "domains: [\"a@b\"]\n", []string{`domains: "a@b" is no domain`}},
		{"domain twice", "domains: [a.example, A.example]\n", []string{`domains: "a.example" is there twice`}},
		{"no address", "http: {listen: \"5280\"}\n", []string{`http.listen: "5280" is no address: a port behind : is expected; write :5280`}},
		{"no port", "http: {listen: \":70000\"}\n", []string{"http.listen: ", "from 0 to 65535"}},
		{"same address", "http: {listen: \"127.0.0.1:5281\"}\n", []string{"admin.listen: 127.0.0.1:5281 is the address of http.listen"}},
		{"no origin", "http: {cors_origins: [desktop.example.com]}\n", []string{"http.cors_origins: \"desktop.example.com\" is no origin"}},
		{"no public address", "http: {public_url: \"https://a/b\"}\n", []string{"http.public_url: "}},
		{"trusted nobody", "http: {plain: trusted}\n", []string{"http.plain: trusted needs http.trusted_proxies"}},
		{"no network", "http: {trusted_proxies: [10.0.0.0/99]}\n", []string{"http.trusted_proxies: \"10.0.0.0/99\" is no address or network"}},
		{"requests within hold", "bosh: {hold: 3}\n", []string{"bosh.requests: 2 must be above bosh.hold, 3"}},
		{"no path", "bosh: {paths: [http-bind]}\n", []string{`bosh.paths: "http-bind" is no path`}},
		{"path taken", "websocket: {path: /}\n", []string{"websocket.path: / is taken"}},
		{"path of both doors", "websocket: {path: /bosh}\n", []string{"websocket.path: /bosh is in bosh.paths already"}},
		{"no door", "bosh: {enabled: false}\nwebsocket: {enabled: false}\n", []string{"bosh.enabled: bosh and websocket are both off"}},
		{"unknown mechanism", "auth: {mechanisms: [LOGIN]}\n", []string{`auth.mechanisms: "LOGIN" is none of SCRAM-SHA-512`}},
		{"ACME without agreement or names", "certs: {acme: {enabled: true}}\n", []string{"certs.acme.agree: has to be true", "certs.acme.hosts: is empty"}},
		{"ACME for what has no name", "certs: {acme: {hosts: [\"10.0.0.1\", localhost, \"*.example.com\"], directory: \"http://a\", email: a}}\n", []string{"certs.acme.hosts: \"10.0.0.1\"", "certs.acme.directory: \"http://a\"", "certs.acme.email: \"a\""}},
		{"key without certificate", "certs: {key_file: /k.pem}\n", []string{"certs.cert_file: is missing"}},
		{"stanza above body", "limits: {stanza: 512KiB}\n", []string{"limits.stanza: 512KiB is above limits.body, 256KiB"}},
		{"user in the address of redis", "redis: {url: \"redis://:pass@127.0.0.1\"}\n", []string{"redis.url: has a user, who belongs to redis.username and redis.password"}},
		{"no address of redis", "redis: {url: \"127.0.0.1:6379\"}\n", []string{"redis.url: is no address such as redis://127.0.0.1:6379/0"}},
		{"no database of redis", "redis: {url: \"redis://h/x\"}\n", []string{`redis.url: the database behind the address, "x", is no number`}},
		{"Sentinel and Cluster", "redis: {sentinel: {master: a, addrs: [h:1]}, cluster: {addrs: [h:1]}}\n", []string{"redis.cluster.addrs: redis.sentinel.master is set too"}},
		{"Sentinel nowhere", "redis: {sentinel: {master: a}}\n", []string{"redis.sentinel.addrs: is empty"}},
		{"Sentinel of nothing", "redis: {sentinel: {addrs: [h:1]}}\n", []string{"redis.sentinel.master: is empty"}},
		{"no address of a cluster", "redis: {cluster: {addrs: [\":6379\"]}}\n", []string{`redis.cluster.addrs: ":6379" is no address such as redis1`}},
		{"replicas of a cluster", "redis: {replicas: 1, cluster: {addrs: [h:1]}}\n", []string{"redis.replicas: cannot be waited for"}},
		{"database of a cluster", "redis: {db: 1, cluster: {addrs: [h:1]}}\n", []string{"redis.db: a cluster has no databases"}},
		{"user without a password", "redis: {username: a}\n", []string{"redis.password: is missing for user a"}},
		{"prefix with braces", "redis: {prefix: \"{a}\"}\n", []string{`redis.prefix: "{a}" is no prefix such as deskline:`}},
		{"certificate for redis without a key", "redis: {tls: {cert_file: a}}\n", []string{"redis.tls.key_file: is missing"}},
		{"section within a section", "redis: {tls: {enabeld: true}}\n", []string{"redis.tls.enabeld: unknown key, did you mean redis.tls.enabled?"}},
		{"secret from no file", "demo: {password_file: /does/not/exist}\n", []string{"demo.password_file: open /does/not/exist"}},
		{"no YAML", "domains: [a\n", []string{"no YAML: "}},
		{"no keys", "- a\n- b\n", []string{"no YAML: the file must be made of keys"}},
		{"key twice", "data_dir: a\ndata_dir: b\n", []string{"no YAML: ", "already defined"}},
		{"two documents", "data_dir: a\n---\ndata_dir: b\n", []string{"no YAML: a second document"}},
		{"alias of itself", "bosh: &b {wait: *b}\n", []string{"no YAML: "}},
		{
			"all at once", "bosh: {wait: 3h, hlod: 1}\nlog: {level: loud}\ndata_dir: \"\"\n",
			[]string{"bosh.wait: 3h is above 10m", "bosh.hlod: unknown key, did you mean bosh.hold?", "log.level: ", "data_dir: is empty"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := configs.Parse([]byte(tt.file))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error\n%v\nlacks\n%s", err, want)
				}
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("DESKLINE_BOSH_WAIT", "20s")
	t.Setenv("DESKLINE_DOMAINS", "one.example, two.example")
	t.Setenv("DESKLINE_LIMITS_QUEUE_BYTES", "2MiB")
	t.Setenv("DESKLINE_HTTP_MAX_CONNECTIONS", "77")
	t.Setenv("DESKLINE_DEMO_PASSWORD", "0123")
	t.Setenv("DESKLINE_LOG_LEVEL", "")
	t.Setenv("DESKLINE_ADMIN_SERVICE_HOST", "10.0.0.1") // as Kubernetes does
	t.Setenv("DESKLINE_SOMETHING_ELSE", "x")
	got, err := configs.Parse([]byte("bosh: {wait: 10s}\nlog: {level: warn}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got.BOSH.Wait != 20*time.Second || got.Limits.QueueBytes != 2*configs.MiB || got.HTTP.MaxConnections != 77 ||
		got.Demo.Password.Reveal() != "0123" || got.Log.Level != "warn" ||
		!slices.Equal(got.Domains, []string{"one.example", "two.example"}) {
		t.Errorf("got %+v", got)
	}
}

func TestEnvironmentRefused(t *testing.T) {
	t.Setenv("DESKLINE_BOSH_WAIT", "3h")
	t.Setenv("DESKLINE_BOSH_INACTIVTY", "3h")
	_, err := configs.Parse(nil)
	for _, want := range []string{
		"bosh.wait: 3h is above 10m (DESKLINE_BOSH_WAIT)",
		"DESKLINE_BOSH_INACTIVTY: unknown environment variable, did you mean DESKLINE_BOSH_INACTIVITY?",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error\n%v\nlacks\n%s", err, want)
		}
	}
}

// TestEnvironmentNames guards against two keys with one variable.
func TestEnvironmentNames(t *testing.T) {
	seen := map[string]string{}
	for _, key := range leaves(t, print(t, configs.Default())) {
		name := strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		if other, twice := seen[name]; twice {
			t.Errorf("%s and %s have the same variable", key, other)
		}
		seen[name] = key
	}
}

func TestSecretFromFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := configs.Parse([]byte("demo: {password_file: " + file + "}\n"))
	if err != nil || got.Demo.Password.Reveal() != "correct horse" {
		t.Fatalf("got %q, %v", got.Demo.Password.Reveal(), err)
	}
	t.Run("named by a variable", func(t *testing.T) {
		t.Setenv("DESKLINE_DEMO_PASSWORD_FILE", file)
		got, err := configs.Parse(nil)
		if err != nil || got.Demo.Password.Reveal() != "correct horse" {
			t.Fatalf("got %q, %v", got.Demo.Password.Reveal(), err)
		}
	})
	t.Run("both", func(t *testing.T) {
		_, err := configs.Parse([]byte("demo: {password: x, password_file: " + file + "}\n"))
		if err == nil || !strings.Contains(err.Error(), "demo.password_file: demo.password is set too") {
			t.Fatalf("got %v", err)
		}
	})
}

func TestSecretsAreHidden(t *testing.T) {
	cfg := configs.Default()
	cfg.Demo.Password, cfg.Redis.Password, cfg.Redis.Sentinel.Password = "correct horse", "battery horse", "staple horse"
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"yaml": print(t, cfg), "json": string(asJSON), "%v": fmt.Sprint(cfg), "%+v": fmt.Sprintf("%+v", cfg), "%#v": fmt.Sprintf("%#v", cfg),
	} {
		if strings.Contains(text, "horse") || !strings.Contains(text, "***") {
			t.Errorf("%s shows the secret: %s", name, text)
		}
	}
}

func TestPrintedFileLoads(t *testing.T) {
	want := configs.Default()
	want.Domains = []string{"example.com", "example.org"}
	want.BOSH.Wait = 70 * time.Second
	want.BOSH.MaxPause = 90 * time.Minute
	want.Limits.Body = 1_000_001
	want.Certs.Hosts = []string{"10.0.0.1"}
	want.Redis.Cluster.Addrs = []string{"redis1.example.com:6379"}
	want.Redis.TLS.Enabled = true
	got, err := configs.Parse([]byte(print(t, want)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestDiff(t *testing.T) {
	before, after := configs.Default(), configs.Default()
	after.HTTP.Listen = ":1"
	after.HTTP.CORSOrigins = []string{"*"}
	after.Limits.Contacts = 5
	live, restart := configs.Diff(before, after)
	if !slices.Equal(live, []string{"http.cors_origins", "limits.contacts"}) || !slices.Equal(restart, []string{"http.listen"}) {
		t.Errorf("live %v, restart %v", live, restart)
	}
	now := configs.WithLive(before, after)
	if now.Limits.Contacts != 5 || now.HTTP.Listen != before.HTTP.Listen || before.Limits.Contacts == 5 {
		t.Errorf("with live keys: %+v", now)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]configs.Size{
		"0": 0, "1000": 1000, "64KiB": 65536, "5MB": 5_000_000, "1 MiB": configs.MiB, "10B": 10, "2kB": 2000, "1TiB": configs.GiB << 10,
	} {
		if got, err := configs.ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "KiB", "1.5MiB", "9223372036854775807KiB", "1 2"} {
		if got, err := configs.ParseSize(text); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func print(t *testing.T, cfg configs.Config) string {
	t.Helper()
	var b bytes.Buffer
	if err := cfg.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// leaves are the paths of all keys of a file, in order.
func leaves(t *testing.T, file string) []string {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(file), &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(n *yaml.Node, prefix string) []string
	walk = func(n *yaml.Node, prefix string) (all []string) {
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i+1].Kind == yaml.MappingNode {
				all = append(all, walk(n.Content[i+1], prefix+n.Content[i].Value+".")...)
			} else {
				all = append(all, prefix+n.Content[i].Value)
			}
		}
		return all
	}
	return walk(doc.Content[0], "")
}
