package configs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Cluster is this node among others. Without a name it stands alone.
type Cluster struct {
	Node         string        `key:"node"`         // its name
	Listen       string        `key:"listen"`       // for gossip, UDP and TCP
	Advertise    string        `key:"advertise"`    // that others use, "" = from listen
	PublicURL    string        `key:"public_url"`   // by which clients reach this very node
	InternalURL  string        `key:"internal_url"` // by which other nodes reach it, "" = public_url
	Key          Secret        `key:"key"`          // of gossip, base64 of 16, 24 or 32 bytes
	Seeds        []string      `key:"seeds"`
	SeedsFile    string        `key:"seeds_file"` // further ones, one a line
	Pairs        []Pair        `key:"pairs"`
	Mode         string        `key:"mode" one:"balanced active-standby manual"`
	AutoFallback time.Duration `key:"auto_fallback" min:"0s" max:"168h"` // 0 = by command alone
	ServiceDelay time.Duration `key:"service_delay" min:"1s" max:"1h"`
	StartDelay   time.Duration `key:"start_delay" min:"1s" max:"1h"`
	ReloginLower time.Duration `key:"relogin_lower" min:"0s" max:"24h"`
	ReloginUpper time.Duration `key:"relogin_upper" min:"0s" max:"24h"`
	Redirect     bool          `key:"redirect"`                    // clients that come to another node than theirs
	Probe        time.Duration `key:"probe" min:"100ms" max:"1m"`  // between two probes of gossip
	Suspicion    int           `key:"suspicion" min:"3" max:"100"` // probes a node may miss
}

// Discovery tells clients which nodes to use.
type Discovery struct {
	TTL       time.Duration `key:"ttl" min:"1m" max:"720h"`     // clients keep an answer for so long
	Rate      int           `key:"rate" min:"0" max:"10000000"` // answers an address may have in a minute; 0 = no bound
	Hostnames bool          `key:"hostnames"`                   // among the SASL mechanisms
}

// Pair is two nodes that stand in for each other; one alone has no second. In
// the file it is [n1, n2], in a variable n1+n2.
type Pair [2]string

func decodePair(raw any) (Pair, error) {
	var names []string
	switch raw := raw.(type) {
	case []any:
		for _, name := range raw {
			text, ok := name.(string)
			if !ok {
				return Pair{}, fmt.Errorf("%v is no name of a node", name)
			}
			names = append(names, text)
		}
	case string:
		names = strings.Split(raw, "+")
	default:
		return Pair{}, errors.New("is no pair, write [[n1, n2]]")
	}
	if len(names) == 0 || len(names) > 2 {
		return Pair{}, fmt.Errorf("has %d nodes in a pair, two are expected, or one that stands alone", len(names))
	}
	var p Pair
	for i, name := range names {
		p[i] = strings.TrimSpace(name)
	}
	return p, nil
}

// names returns the nodes of the pair.
func (p Pair) names() []string {
	if p[1] == "" {
		return p[:1]
	}
	return p[:]
}

// GossipKey returns the key of gossip, nil for none.
func (c Cluster) GossipKey() ([]byte, error) {
	text := c.Key.Reveal()
	if text == "" {
		return nil, nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !slices.Contains([]int{16, 24, 32}, len(key)) {
		return nil, errors.New("is no base64 of 16, 24 or 32 bytes; make one with: openssl rand -base64 32")
	}
	return key, nil
}

// AllPairs returns the pairs; a node that names none stands alone.
func (c Cluster) AllPairs() []Pair {
	if len(c.Pairs) == 0 {
		return []Pair{{c.Node}}
	}
	return c.Pairs
}

var nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$`)

func (l *loader) checkCluster() {
	c := l.cfg.Cluster
	l.checkListen("cluster.listen", c.Listen)
	if c.Advertise != "" {
		host, _, err := net.SplitHostPort(c.Advertise)
		if err != nil {
			host = c.Advertise
		}
		if !isHost(host) || host == "" {
			l.add("cluster.advertise", "%q is no address such as 10.0.0.1:7946", c.Advertise)
		}
	}
	l.checkBase("cluster.public_url", c.PublicURL)
	l.checkBase("cluster.internal_url", c.InternalURL)
	if _, err := c.GossipKey(); err != nil {
		l.add("cluster.key", "%v", err)
	}
	for _, s := range c.Seeds {
		if err := checkAddr(s); err != nil && !isHost(s) || s == "" {
			l.add("cluster.seeds", "%q is no address such as n2.example.com:7946", s)
		}
	}
	if c.ReloginUpper < c.ReloginLower {
		l.add("cluster.relogin_upper", "%s is below cluster.relogin_lower, %s", shortDuration(c.ReloginUpper), shortDuration(c.ReloginLower))
	}
	l.checkNode(c)
}

func (l *loader) checkNode(c Cluster) {
	if c.Node == "" {
		if len(c.Seeds) > 0 || c.SeedsFile != "" || len(c.Pairs) > 0 {
			l.add("cluster.node", "is missing: give this node its name in the cluster, such as n1")
		}
		return
	}
	if !nodeName.MatchString(c.Node) {
		l.add("cluster.node", "%q is no name such as n1: letters, digits, and - . _ within", c.Node)
	}
	if c.PublicURL == "" {
		l.add("cluster.public_url", "is missing: the address by which clients reach this very node, such as https://n1.example.com:5280")
	}
	if len(c.Pairs) == 0 && (len(c.Seeds) > 0 || c.SeedsFile != "") {
		l.add("cluster.pairs", "is missing: name the nodes that stand in for each other, the same on all nodes: [[n1, n2]]")
	}
	seen := map[string]bool{}
	for _, p := range c.Pairs {
		for _, name := range p.names() {
			switch {
			case !nodeName.MatchString(name):
				l.add("cluster.pairs", "%q is no name such as n1", name)
			case seen[name]:
				l.add("cluster.pairs", "%s is there twice, a node is in one pair", name)
			}
			seen[name] = true
		}
	}
	if len(c.Pairs) > 0 && !seen[c.Node] {
		l.add("cluster.pairs", "this node, %s, is in none of them", c.Node)
	}
}

// checkBase checks the address of a node, which has no path.
func (l *loader) checkBase(key, text string) {
	if text == "" {
		return
	}
	if u, err := url.Parse(text); err != nil || !isOrigin(u) || strings.TrimRight(u.Path, "/") != "" {
		l.add(key, "%q is no address such as https://n1.example.com:5280", text)
	}
}
