package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/deskline/deskline/router"
)

// DefaultPort is the port of gossip where none is named.
const DefaultPort = 7946

// gossipConfig is the configuration of memberlist.
func (m *Members) gossipConfig(ctx context.Context) (*memberlist.Config, error) {
	listen, err := bindAddr(m.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen at %q: %w", m.cfg.Listen, err)
	}
	c := memberlist.DefaultLANConfig()
	c.Name = string(m.cfg.Node)
	// No other program's gossip, should its port be among the seeds.
	c.Label = "deskline"
	c.Logger = newGossipLog(m.cfg.Log)
	c.SecretKey = m.cfg.Key
	c.ProbeInterval, c.ProbeTimeout = m.cfg.Interval, m.cfg.Timeout
	// A node that is loaded answers late. A suspect has some probes' time to
	// object, more if few confirm the suspicion; and a node that finds its own
	// probes late (awareness) blames itself and slows down.
	c.SuspicionMult, c.SuspicionMaxTimeoutMult, c.AwarenessMaxMultiplier = m.cfg.Suspicion, 6, 8
	c.TCPTimeout = 2 * time.Second
	c.GossipInterval = min(c.GossipInterval, m.cfg.Interval)
	c.GossipToTheDeadTime = time.Minute
	c.PushPullInterval = 15 * time.Second
	c.DeadNodeReclaimTime = 5 * time.Second // a node may return with another address
	c.Delegate, c.Events, c.Alive, c.Conflict = delegate{m}, delegate{m}, delegate{m}, delegate{m}

	transport, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{listen.Addr().String()}, BindPort: int(listen.Port()), Logger: c.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", m.cfg.Listen, err)
	}
	c.BindAddr, c.BindPort = listen.Addr().String(), transport.GetAutoBindPort()
	c.Transport = transport
	if m.cfg.Transport != nil {
		c.Transport = m.cfg.Transport(transport)
	}
	if err := m.advertise(ctx, c); err != nil {
		return nil, errors.Join(err, transport.Shutdown())
	}
	return c, nil
}

func bindAddr(listen string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch host {
	case "":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	return netip.ParseAddrPort(net.JoinHostPort(host, port))
}

// advertise sets the address that others use; a name is looked up once, since
// gossip carries numbers.
func (m *Members) advertise(ctx context.Context, c *memberlist.Config) error {
	c.AdvertisePort = c.BindPort
	if m.cfg.Advertise == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(m.cfg.Advertise)
	if err != nil {
		host, port = m.cfg.Advertise, strconv.Itoa(c.BindPort)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return fmt.Errorf("advertise %q: %w", m.cfg.Advertise, err)
	}
	c.AdvertiseAddr = ips[0].Unmap().String()
	c.AdvertisePort, err = strconv.Atoi(port)
	return err
}

// delegate is what memberlist calls, with its locks held.
type delegate struct{ m *Members }

// NodeMeta implements memberlist.Delegate.
func (d delegate) NodeMeta(int) []byte {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	data, _ := d.m.meta.Encode() // tried when it was set
	return data
}

// NotifyMsg implements memberlist.Delegate.
func (delegate) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (delegate) MergeRemoteState([]byte, bool) {}

// NotifyAlive implements memberlist.AliveDelegate: who tells nonsense is no
// member.
func (delegate) NotifyAlive(n *memberlist.Node) error {
	_, err := DecodeMeta(n.Meta)
	return err
}

// NotifyConflict implements memberlist.ConflictDelegate.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	m := d.m
	err := fmt.Errorf("%s and %s both call themselves %s: give one of them another cluster.node", existing.Address(), other.Address(), existing.Name)
	m.mu.Lock()
	told := m.conflict != nil && time.Since(m.last) < time.Minute
	m.last = time.Now()
	m.conflict = nil
	if existing.Name == string(m.cfg.Node) {
		m.conflict = err
	}
	m.mu.Unlock()
	if !told {
		m.cfg.Log.Error("two nodes with one name", "err", err)
	}
}

// NotifyJoin implements memberlist.EventDelegate.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.m.heard(n, Alive) }

// NotifyUpdate implements memberlist.EventDelegate.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.m.heard(n, Alive) }

// NotifyLeave implements memberlist.EventDelegate.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.m.heard(n, Doubtful) }

// heard takes in what gossip says of a node.
func (m *Members) heard(n *memberlist.Node, state Liveness) {
	meta, err := DecodeMeta(n.Meta)
	if err != nil {
		return // refused by NotifyAlive already
	}
	addr, _ := netip.AddrFromSlice(n.Addr)
	next := Member{ID: router.NodeID(n.Name), Addr: netip.AddrPortFrom(addr.Unmap(), n.Port), Meta: meta, State: state, Since: time.Now()}
	if state == Doubtful {
		switch {
		case meta.Leaving:
			next.State = Left
		case m.cfg.Proof == nil:
			next.State = Dead
		}
	}
	m.mu.Lock()
	before := m.nodes[next.ID]
	if before == nil {
		before = &known{}
		m.nodes[next.ID] = before
	} else if before.State == next.State {
		next.Since = before.Since
	}
	was := before.Member
	before.Member = next
	m.mu.Unlock()
	if next.ID != m.cfg.Node {
		m.tell(was, next)
	}
	signal(m.wake)
}

// tell writes the log.
func (m *Members) tell(was, is Member) {
	switch {
	case is.State == Left:
		m.cfg.Log.Info("node left", "node", is.ID)
	case is.State == Doubtful:
		m.cfg.Log.Warn("node does not answer", "node", is.ID, "addr", is.Addr.String())
	case is.State == Dead:
		m.cfg.Log.Warn("node is dead", "node", is.ID)
	case was.ID == "" || was.State == Dead || was.State == Left:
		m.cfg.Log.Info("node joined", "node", is.ID, "addr", is.Addr.String(), "version", is.Version)
	case was.Incarnation != is.Incarnation:
		m.cfg.Log.Info("node restarted", "node", is.ID, "addr", is.Addr.String(), "version", is.Version)
	case was.State == Doubtful:
		m.cfg.Log.Info("node answers again", "node", is.ID)
	}
}

// publish makes a view of what is known, if it differs from the last, and
// returns the members to ask a proof about.
func (m *Members) publish() (doubtful []Member) {
	before := m.view.Load()
	v := &View{Epoch: before.Epoch + 1, Self: m.cfg.Node}
	m.mu.Lock()
	for _, k := range m.nodes {
		member := k.Member
		if k.ID == m.cfg.Node {
			// What it is about to tell is true here at once, and the last
			// goodbye is no reason to call itself gone.
			member.Meta, member.State = m.meta, Alive
		}
		v.Members = append(v.Members, member)
		if k.State == Doubtful && !k.asking && k.ID != m.cfg.Node {
			k.asking = true
			doubtful = append(doubtful, k.Member)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(v.Members, func(a, b Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	if !reflect.DeepEqual(v.Members, before.Members) {
		m.view.Store(v)
	}
	return doubtful
}
