// Package configs is the configuration of a node: one typed struct with its
// defaults, read once from a YAML file and the environment.
//
//	cfg, err := configs.Load("/etc/deskline/deskline.yaml")
//
// Each key has one place in [Config]. The environment variable of a key is
// DESKLINE_ and its path in capitals with _ between the parts, such as
// DESKLINE_BOSH_WAIT for bosh.wait; it wins over the file. A secret can also be
// read from a file named by the key with _file behind it. Unknown keys and bad
// values are errors; all that is wrong is told at once.
//
// The struct tags: key is the name in the file; min and max are bounds in the
// notation of the file; one lists the words allowed; live says that a running
// node takes the change at SIGHUP, see [Diff].
package configs

import (
	"net/netip"
	"time"
)

// Config is everything that can be set. A value comes from Load, Parse,
// Default or Demo and is not changed afterwards.
type Config struct {
	Domains   []string  `key:"domains"`  // served here, the first is where users are without a domain
	DataDir   string    `key:"data_dir"` // holds the store and self-made certificates
	Log       Log       `key:"log"`
	HTTP      HTTP      `key:"http"`
	BOSH      BOSH      `key:"bosh"`
	WebSocket WebSocket `key:"websocket"`
	Store     Store     `key:"store"`
	Cluster   Cluster   `key:"cluster"`
	Discovery Discovery `key:"discovery"`
	Redis     Redis     `key:"redis"`
	LDAP      LDAP      `key:"ldap"`
	SIP       SIP       `key:"sip"`
	Auth      Auth      `key:"auth"`
	Search    Search    `key:"search"`
	Users     Users     `key:"users"`
	Groups    Groups    `key:"groups"`
	Scope     Scope     `key:"scope"`
	Certs     Certs     `key:"certs"`
	Presence  Presence  `key:"presence"`
	Admin     Admin     `key:"admin"`
	Limits    Limits    `key:"limits"`
	Demo      Demo      `key:"demo"`
}

// Log says what is logged, to standard error.
type Log struct {
	Level  string `key:"level" one:"debug info warn error" live:"yes"`
	Format string `key:"format" one:"text json"`
}

// HTTP is the listener for HTTP and HTTPS on one port.
type HTTP struct {
	Listen            string         `key:"listen"`
	Engine            string         `key:"engine" one:"auto std"`                       // for requests that are held; std = net/http
	PublicURL         string         `key:"public_url" live:"yes"`                       // "" = as the client asked
	Plain             string         `key:"plain" one:"loopback trusted any" live:"yes"` // who is answered without TLS
	TrustedProxies    []netip.Prefix `key:"trusted_proxies" live:"yes"`                  // whose X-Forwarded-… is believed
	CORSOrigins       []string       `key:"cors_origins" live:"yes"`                     // beside the node's own and loopback; * = all
	ReadHeaderTimeout time.Duration  `key:"read_header_timeout" min:"1s" max:"2m"`
	ReadTimeout       time.Duration  `key:"read_timeout" min:"1s" max:"10m"` // a whole request
	WriteTimeout      time.Duration  `key:"write_timeout" min:"1s" max:"10m"`
	IdleTimeout       time.Duration  `key:"idle_timeout" min:"1s" max:"1h"` // between two requests
	MaxHeader         Size           `key:"max_header" min:"4KiB" max:"1MiB"`
	MaxConnections    int            `key:"max_connections" min:"1" max:"1000000"`
}

// BOSH is the door of XEP-0124 and XEP-0206.
type BOSH struct {
	Enabled    bool          `key:"enabled"`
	Paths      []string      `key:"paths"`
	Wait       time.Duration `key:"wait" min:"1s" max:"10m" live:"yes"`      // longest a request is held
	Hold       int           `key:"hold" min:"1" max:"10" live:"yes"`        // requests held at most
	Requests   int           `key:"requests" min:"1" max:"20" live:"yes"`    // at the same time at most
	Inactivity time.Duration `key:"inactivity" min:"5s" max:"1h" live:"yes"` // longest without a request
	Polling    time.Duration `key:"polling" min:"1s" max:"5m" live:"yes"`    // shortest between polls
	MaxPause   time.Duration `key:"maxpause" min:"1s" max:"24h" live:"yes"`  // longest pause
	Compress   Size          `key:"compress" min:"0" max:"1GiB" live:"yes"`  // responses of this size and more; 0 = never
}

// WebSocket is the door of RFC 7395.
type WebSocket struct {
	Enabled bool          `key:"enabled"`
	Path    string        `key:"path"`
	Ping    time.Duration `key:"ping" min:"5s" max:"1h" live:"yes"` // silence before a client is asked whether it is there
}

// Store says where accounts, rosters and messages are kept.
type Store struct {
	Kind string `key:"kind" one:"sqlite redis"`
}

// Redis is the server of a store of that kind: one, or those that Sentinel or
// Cluster name.
type Redis struct {
	URL      string        `key:"url"` // redis:// or rediss:// with TLS; not with Sentinel or Cluster
	Username string        `key:"username"`
	Password Secret        `key:"password"`
	DB       int           `key:"db" min:"0" max:"65535"` // with Sentinel; a URL has its own
	Prefix   string        `key:"prefix"`                 // of every key
	Timeout  time.Duration `key:"timeout" min:"100ms" max:"1m"`
	Pool     int           `key:"pool" min:"4" max:"10000"`  // connections to each server
	Replicas int           `key:"replicas" min:"0" max:"10"` // that must have a write before it is answered
	Sentinel Sentinel      `key:"sentinel"`
	Cluster  RedisCluster  `key:"cluster"`
	TLS      RedisTLS      `key:"tls"`
}

// Sentinel finds the server by a name.
type Sentinel struct {
	Master   string   `key:"master"` // "" = no Sentinel
	Addrs    []string `key:"addrs"`
	Username string   `key:"username"` // for the Sentinels themselves
	Password Secret   `key:"password"`
}

// RedisCluster is Redis Cluster.
type RedisCluster struct {
	Addrs []string `key:"addrs"` // of some of its servers; empty = no cluster
}

// RedisTLS is how connections to Redis are encrypted.
type RedisTLS struct {
	Enabled    bool   `key:"enabled"`   // a rediss:// URL does so too
	CAFile     string `key:"ca_file"`   // PEM; "" = the system's
	CertFile   string `key:"cert_file"` // PEM, of this node; "" = none
	KeyFile    string `key:"key_file"`
	ServerName string `key:"server_name"` // in the server's certificate; "" = as in the address
}

// Auth is how clients sign in.
type Auth struct {
	Mechanisms            []string      `key:"mechanisms" live:"yes"`
	Plain                 string        `key:"plain" one:"secure any" live:"yes"`              // where PLAIN is offered
	Iterations            int           `key:"iterations" min:"4096" max:"1000000" live:"yes"` // of new keys
	FailedLoginsPerMinute int           `key:"failed_logins_per_minute" min:"1" max:"100000" live:"yes"`
	MaxDelay              time.Duration `key:"max_delay" min:"1s" max:"10m" live:"yes"`
	VerifiedTTL           time.Duration `key:"verified_ttl" min:"0s" max:"24h" live:"yes"` // how long a password checked is remembered; 0 = not
	Derivations           int           `key:"derivations" min:"0" max:"1024"`             // passwords checked at a time; 0 = half of the processors
	ChangePassword        bool          `key:"change_password"`                            // by clients, XEP-0077
	OAuth                 []Issuer      `key:"oauth" live:"yes"`                           // whose tokens are taken
}

// Certs are the certificates of the node.
type Certs struct {
	CertFile string   `key:"cert_file" live:"yes"` // PEM, the chain behind it; "" = self-signed
	KeyFile  string   `key:"key_file" live:"yes"`  // PEM
	Dir      string   `key:"dir" live:"yes"`       // of further pairs, chosen by the name a client asks for; "" = none
	Hosts    []string `key:"hosts" live:"yes"`     // in a self-signed certificate, beside the domains
	MinTLS   string   `key:"min_tls" one:"1.2 1.3"`
	ACME     ACME     `key:"acme"`
}

// ACME gets certificates from an authority and renews them, RFC 8555.
type ACME struct {
	Enabled   bool     `key:"enabled"`
	Directory string   `key:"directory"` // of the authority
	Email     string   `key:"email"`     // for the authority to write to; "" = none
	Agree     bool     `key:"agree"`     // to the authority's terms
	CAFile    string   `key:"ca_file"`   // PEM, who vouches for the authority's own HTTPS; "" = the system's
	Hosts     []string `key:"hosts"`     // each gets a certificate
	Challenge string   `key:"challenge" one:"any tls-alpn http"`
}

// Admin is the listener for operators.
type Admin struct {
	Listen string `key:"listen"` // "off" = none
}

// Limits bound what a client can make the node do and keep.
type Limits struct {
	Body            Size          `key:"body" min:"16KiB" max:"64MiB" live:"yes"`
	Stanza          Size          `key:"stanza" min:"10000" max:"16MiB" live:"yes"` // RFC 6120 §13.12
	Depth           int           `key:"depth" min:"8" max:"256" live:"yes"`
	Attributes      int           `key:"attributes" min:"16" max:"4096" live:"yes"`
	Children        int           `key:"children" min:"16" max:"100000" live:"yes"`
	Contacts        int           `key:"contacts" min:"1" max:"100000" live:"yes"`
	Offline         int           `key:"offline" min:"1" max:"100000" live:"yes"`          // messages a user
	OfflineExpiry   time.Duration `key:"offline_expiry" min:"0s" max:"87600h" live:"yes"`  // 0 = never
	Private         Size          `key:"private" min:"1KiB" max:"16MiB" live:"yes"`        // one element of private XML
	PrivateElements int           `key:"private_elements" min:"1" max:"100000" live:"yes"` // of them a user
	VCard           Size          `key:"vcard" min:"1KiB" max:"16MiB" live:"yes"`
	Resources       int           `key:"resources" min:"1" max:"1000" live:"yes"`
	Unauthenticated time.Duration `key:"unauthenticated" min:"5s" max:"10m" live:"yes"`
	Sessions        int           `key:"sessions" min:"1" max:"10000000" live:"yes"`
	Queue           int           `key:"queue" min:"16" max:"1000000" live:"yes"`       // stanzas waiting for a client
	QueueBytes      Size          `key:"queue_bytes" min:"64KiB" max:"1GiB" live:"yes"` // their size, a client
	Memory          Size          `key:"memory" min:"1MiB" max:"1TiB" live:"yes"`       // the size of all clients' queues together
}

// Demo is the demo directory.
type Demo struct {
	Enabled  bool   `key:"enabled"`  // make alice, bob, carol and dave if they are not there
	Password Secret `key:"password"` // theirs; "" = made and printed on start
}

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{
		Domains: []string{"localhost"},
		DataDir: "data",
		Log:     Log{Level: "info", Format: "text"},
		HTTP: HTTP{
			Listen: ":5280", Engine: "auto", Plain: "loopback",
			ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
			WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
			MaxHeader: 16 * KiB, MaxConnections: 65536,
		},
		BOSH: BOSH{
			Enabled: true, Paths: []string{"/http-bind", "/httpbinding", "/http-binding", "/bosh"},
			Wait: 55 * time.Second, Hold: 1, Requests: 2, Inactivity: time.Minute,
			Polling: 5 * time.Second, MaxPause: 5 * time.Minute, Compress: KiB,
		},
		WebSocket: WebSocket{Enabled: true, Path: "/xmpp-websocket", Ping: 45 * time.Second},
		Store:     Store{Kind: "sqlite"},
		Cluster: Cluster{
			Listen: ":7946", Mode: "balanced", ServiceDelay: 90 * time.Second, StartDelay: 2 * time.Minute,
			ReloginUpper: 30 * time.Second, Probe: 250 * time.Millisecond, Suspicion: 5,
		},
		Discovery: Discovery{TTL: 24 * time.Hour, Rate: 600, Hostnames: true},
		Redis: Redis{
			URL: "redis://127.0.0.1:6379/0", Prefix: "deskline:", Timeout: 2 * time.Second, Pool: 16,
		},
		LDAP: defaultLDAP(),
		SIP:  defaultSIP(),
		Auth: Auth{
			Mechanisms: []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"},
			Plain:      "secure", Iterations: 4096, FailedLoginsPerMinute: 20,
			MaxDelay: 10 * time.Second, VerifiedTTL: 5 * time.Minute, ChangePassword: true,
		},
		Search: Search{Enabled: "auto", Local: true, MaxResults: 50, MinLength: 1, Rate: 300},
		Users:  Users{JID: "{login}", Duplicates: "refuse"},
		Groups: Groups{Largest: 5000, Refresh: 10 * time.Second, Sync: "automatic"},
		Scope:  Scope{Mode: "open"},
		Certs: Certs{
			MinTLS: "1.2", ACME: ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory", Challenge: "any"},
		},
		Presence: defaultPresence(),
		Admin:    Admin{Listen: "127.0.0.1:5281"},
		Limits: Limits{
			Body: 256 * KiB, Stanza: 64 * KiB, Depth: 32, Attributes: 64, Children: 1000,
			Contacts: 1000, Offline: 1000, Private: 64 * KiB, PrivateElements: 100, VCard: 64 * KiB, Resources: 10,
			Unauthenticated: 30 * time.Second, Sessions: 50000,
			Queue: 1000, QueueBytes: MiB, Memory: 512 * MiB,
		},
	}
}
