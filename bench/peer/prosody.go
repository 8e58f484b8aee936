package peer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/deskline/deskline/bench/load"
)

const prosodyConfig = `-- made for one benchmark run
run_as_root = false
daemonize = false
pidfile = %[1]q
data_path = %[2]q
network_backend = "epoll"
network_settings = { tcp_backlog = 4096 }
log = { warn = "*console" }
interfaces = { "127.0.0.1" }
c2s_ports = {} s2s_ports = {} http_ports = { %[3]d } https_ports = {}
http_interfaces = { "127.0.0.1" }
http_default_host = "localhost"
modules_enabled = { "roster", "saslauth", "disco", "bosh", "presence", "message", "iq", "offline", "c2s" }
modules_disabled = { "s2s", "limits", "tls" }
authentication = "internal_plain"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
consider_bosh_secure = true
bosh_max_inactivity = 120
bosh_max_wait = 55
VirtualHost "localhost"
`

// prosodyPlan writes accounts and rosters as Prosody's own files.
func prosodyPlan(_ context.Context, dir string, port int, o Options) (plan, error) {
	data := filepath.Join(dir, "data")
	accounts, rosters := filepath.Join(data, Domain, "accounts"), filepath.Join(data, Domain, "roster")
	for _, d := range []string{accounts, rosters} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return plan{}, fmt.Errorf("make data directory: %w", err)
		}
	}
	for i := range o.Users {
		name := Prefix + strconv.Itoa(i) + ".dat"
		account := fmt.Sprintf("return {\n\t[\"password\"] = %q;\n};\n", Password)
		if err := os.WriteFile(filepath.Join(accounts, name), []byte(account), 0o600); err != nil {
			return plan{}, fmt.Errorf("write account: %w", err)
		}
		if o.Contacts == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(rosters, name), prosodyRoster(i, o), 0o600); err != nil {
			return plan{}, fmt.Errorf("write roster: %w", err)
		}
	}
	config := filepath.Join(dir, "prosody.cfg.lua")
	text := fmt.Sprintf(prosodyConfig, filepath.Join(dir, "prosody.pid"), data, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return plan{}, fmt.Errorf("write configuration: %w", err)
	}
	return plan{
		argv: []string{"prosody", "--config", config, "-F"}, as: "prosody",
		url: "http://127.0.0.1:" + strconv.Itoa(port) + "/http-bind",
	}, nil
}

func prosodyRoster(i int, o Options) []byte {
	var b bytes.Buffer
	b.WriteString("return {\n\t[false] = { [\"version\"] = 1; [\"pending\"] = {}; };\n")
	for _, c := range load.Contacts(i, o.Users, o.Contacts) {
		fmt.Fprintf(&b, "\t[\"%s%d@%s\"] = { [\"subscription\"] = \"both\"; [\"groups\"] = {}; [\"name\"] = \"User %d\"; };\n",
			Prefix, c, Domain, c)
	}
	b.WriteString("};\n")
	return b.Bytes()
}
