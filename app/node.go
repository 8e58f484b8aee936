package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/account"
	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/certs/acme"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/discovery"
	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/ldap"
	"github.com/deskline/deskline/oauth"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar/graph"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/store/redis"
	"github.com/deskline/deskline/store/redis/live"
	"github.com/deskline/deskline/vcard"
	"github.com/deskline/deskline/web"
	"github.com/deskline/deskline/websocket"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
)

// node is all parts of a running node.
type node struct {
	options Options
	cfg     configs.Config // in force; for the loop of Run alone, others read options.Config
	log     *slog.Logger
	level   *slog.LevelVar
	domains []jid.JID

	certs     *certs.Keeper
	acme      *acme.Manager // nil = nobody asked for it
	tickets   *certs.Tickets
	store     Store
	unlock    func() error // ends the mark that the store is in use; may be nil
	shared    *live.Shared // nil on a node that stands alone, as takeover
	takeover  *takeover
	accounts  *auth.Service
	oauth     *oauth.Service
	directory *ldap.Directory // nil: all accounts are in the store
	mux       *mux.Mux
	router    *router.Router
	rosters   *roster.Service
	presence  *presence.Service
	offline   *offline.Service
	xml       *private.Service
	cards     *vcard.Service
	people    joined
	composing composing
	sessions  *session.Manager
	bosh      *bosh.Handler
	websocket *websocket.Door
	edge      *web.Edge
	admin     *admin.Server
	metrics   *admin.Metrics
	members   *cluster.Members  // nil = the node stands alone
	recovery  *cluster.Recovery // nil = the node stands alone

	scope    *people.Scope
	groups   *people.Groups
	wish     atomic.Pointer[configs.Groups] // in force or soon
	anyGroup atomic.Bool                    // some group is authorised
	synced   []byte                         // the last synchronisation, as it is stored
	syncTurn chan struct{}                  // held while synced is read or written
	stirred  chan struct{}                  // the groups have changed
	look     chan struct{}                  // the groups are to be read again

	public, private net.Listener
}

func build(ctx context.Context, o Options) (*node, error) {
	n := &node{options: o, cfg: o.Config, log: o.Log, level: o.Level, metrics: admin.NewMetrics(Version(), o.Log)}
	for _, d := range o.Config.Domains {
		j, err := jid.New("", d, "")
		if err != nil {
			return nil, fmt.Errorf("domains: %w", err)
		}
		n.domains = append(n.domains, j)
	}
	for _, step := range []func(context.Context) error{n.buildStore, n.buildDirectory, n.buildShared, n.buildCluster, n.buildGroups, n.buildCore, n.buildDoors, n.buildAdmin, n.demo, n.loadGroups, n.wake} {
		if err := step(ctx); err != nil {
			n.close()
			return nil, err
		}
	}
	return n, nil
}

func (n *node) close() {
	n.closeCluster()
	if n.directory != nil {
		n.directory.Close()
	}
	var err error
	if n.store != nil {
		err = n.store.Close()
	}
	if n.unlock != nil {
		err = errors.Join(err, n.unlock())
	}
	if err != nil {
		n.log.Error("close store", "err", err)
	}
}

func (n *node) buildStore(ctx context.Context) error {
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	var err error
	if err := n.buildCerts(); err != nil {
		return err
	}
	if err := n.openStore(ctx); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	secret, err := n.secret(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	n.composing.secret = secret
	a := authConfig(n.cfg)
	a.Secret, a.Derivations, a.Log = secret, n.cfg.Auth.Derivations, n.log
	a.Changed = n.accountsChanged()
	n.accounts = auth.New(n.store, a)
	return n.buildOAuth()
}

// buildShared joins the node to those that share a Redis with it.
func (n *node) buildShared(ctx context.Context) error {
	c := n.cfg.Cluster
	store, ok := n.store.(*redis.Store)
	if c.Node == "" || !ok {
		return nil
	}
	var err error
	n.shared, err = live.New(ctx, live.Config{
		Client: store.Client(), Prefix: n.cfg.Redis.Prefix, Replicas: n.cfg.Redis.Replicas, Timeout: n.cfg.Redis.Timeout, Node: router.NodeID(c.Node), Log: n.log,
		URL: strings.TrimRight(cmp.Or(c.InternalURL, c.PublicURL), "/"),
		Lapsed: func(ctx context.Context) error {
			if n.takeover == nil {
				return nil
			}
			return n.takeover.lapsed(ctx)
		},
		Wished: func(sid router.SID, to live.Owner) {
			if n.takeover != nil {
				n.takeover.hear(sid, to)
			}
		},
		// It listens when all parts are there.
		Roster: func(owner jid.JID, ver uint64) { n.rosters.Changed(owner, ver) },
		Missed: func() {
			n.rosters.Missed()
			n.composing.share.stir(n.composing.share.read)
		},
		News: func(news live.News) {
			n.composing.share.hear(news)
			n.composing.notices.Hear(news.Rung)
		},
	})
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

const secretKey = "auth.secret"

// secret returns the secret that made-up salts come from; it stays for ever.
func (n *node) secret(ctx context.Context) ([]byte, error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return n.store.InitMeta(ctx, secretKey, secret)
}

// streamFeatures are offered to authenticated streams: roster versions
// (RFC 6121 §2.6.1) and pre-approval (§3.4).
const streamFeatures = "<ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/>"

func (n *node) buildCore(ctx context.Context) error {
	table := router.NewTable()
	n.mux = mux.New(n.log)
	var registry router.Registry = router.NewMemory()
	var mailboxes router.Mailboxes = router.Local{Table: table}
	if n.shared != nil {
		registry, mailboxes = n.shared, n.shared
	}
	n.router = router.New(router.Config{
		Domains: n.domains, Registry: registry, Mailboxes: mailboxes, Table: table,
		Mux: n.mux, Accounts: chatters{n}, Scope: n.related(), Log: n.log,
	})
	n.rosters = roster.New(roster.Config{Store: n.store, Router: n.router, Accounts: chatters{n}, Automatic: automatic{n.groups}, MaxContacts: n.cfg.Limits.Contacts, Log: n.log})
	n.offline = offline.New(offline.Config{Store: n.store, Outlet: outlet{n.router}, Limits: offlineLimits(n.cfg), Log: n.log})
	seen := &lastSeen{}
	pc := presence.Config{Router: n.router, Contacts: n.rosters, Kept: n.offline, Seen: seen, Settings: presenceSettings(n.cfg), Choices: choices{n.store}, Log: n.log}
	n.composing.teams = presence.NewTeams()
	n.composing.teams.SetRules(oversights(n.cfg))
	pc.Teams = n.composing.teams
	pc.Histories, pc.Keep = n.store, n.cfg.Presence.History
	if n.shared != nil {
		n.composing.share = newEvidenceShare(n)
		pc.Cluster = n.composing.share
	}
	n.presence = presence.New(pc)
	inf := info.New(info.Config{Name: "Deskline", Version: Version(), OS: runtime.GOOS, Started: time.Now(), Store: n.store, Presence: n.presence})
	seen.info = inf
	n.rosters.Join(n.presence)
	n.router.Join(n.presence, n.offline, n.guard)

	n.rosters.Register(n.mux)
	n.offline.Register(n.mux)
	inf.Register(n.mux)
	n.xml = private.New(private.Config{Store: n.store, Limits: privateLimits(n.cfg), Reserved: []string{presence.NSComposed}})
	n.xml.Register(n.mux)
	n.buildPeople()
	if err := n.buildPresence(); err != nil {
		return err
	}
	n.cards = vcard.New(vcard.Config{
		Store: n.store, MaxBytes: int(n.cfg.Limits.VCard), People: n.people.index, Visibility: n.findable(),
		Directory: n.listed, Photos: photos{n}, Log: n.log,
	})
	n.cards.Register(n.mux)
	account.Register(n.mux, account.Config{Accounts: n.accounts, Contacts: n.rosters, Sessions: n, Fixed: n.fixed})
	session.Register(n.mux)
	disco := mux.Disco{
		Server:  mux.Identity{Category: "server", Type: "im", Name: "Deskline"},
		Account: mux.Identity{Category: "account", Type: "registered"},
		MayAsk:  n.mayAsk,
	}
	n.mux.RegisterDisco(disco)

	var hints session.Hints
	if n.recovery != nil && n.cfg.Discovery.Hostnames {
		hints = discovery.Hostnames{Directory: n}
	}
	sc := session.Config{
		Domains: n.domains, Node: router.NodeID(n.cfg.Cluster.Node), Auth: n.accounts, Router: n.router, Observer: n.presence, Metrics: n.metrics, Hints: hints, Admit: n.admit,
		Features: append([]byte(streamFeatures), disco.Caps(n.mux)...),
		Limits:   sessionLimits(n.cfg), PingAfter: 5 * time.Minute, PingWait: time.Minute, Log: n.log,
	}
	if n.recovery != nil {
		sc.Redirect = n.redirect
	}
	if n.shared == nil {
		n.sessions = session.NewManager(sc)
		return nil
	}
	sc.Keeper = n.shared
	n.sessions = session.NewManager(sc)
	var err error
	n.takeover, err = newTakeover(ctx, n)
	return err
}

func (n *node) buildDoors(ctx context.Context) error {
	site := web.Site{Version: Version(), Domains: n.cfg.Domains, Certificate: n.certificate}
	if n.cfg.BOSH.Enabled {
		site.BOSH = n.cfg.BOSH.Paths[0]
	}
	if n.cfg.WebSocket.Enabled {
		site.WebSocket = n.cfg.WebSocket.Path
	}
	if n.recovery != nil {
		site.Mates = n.mates
	}
	if n.cfg.Demo.Enabled {
		site.DemoUsers = demoUsers()
	}
	h := n.cfg.HTTP
	var err error
	n.edge, err = web.New(web.Config{
		Policy: webPolicy(n.cfg), TLS: n.serverTLS(ctx), ReadHeaderTimeout: h.ReadHeaderTimeout, ReadTimeout: h.ReadTimeout,
		WriteTimeout: h.WriteTimeout, IdleTimeout: h.IdleTimeout, MaxHeader: int(h.MaxHeader), MaxConnections: h.MaxConnections,
		PlainPrefix: n.plainPrefix(), Std: h.Engine == "std", Site: site, Log: n.log,
	})
	if err != nil {
		return err
	}
	if n.acme != nil {
		n.edge.Handle(acme.ChallengePath, n.acme)
	}
	n.bosh = bosh.New(n.boshConfig(n.cfg))
	if n.takeover != nil {
		n.takeover.bosh = n.bosh
		n.edge.Handle(passPath, n.takeover)
		n.edge.Handle(alivePath, n.takeover)
		n.edge.Handle(givePath, n.takeover)
	}
	n.websocket = websocket.New(websocket.Config{
		Limits: webSocketLimits(n.cfg), Open: websocket.Sessions(n.sessions), Peer: n.edge.Peer,
		AllowOrigin: n.edge.AllowOrigin, Domain: n.cfg.Domains[0], SeeOther: n.mate, Budget: n.bosh, Delivered: n.metrics.Delivered, Log: n.log,
	})
	n.edge.Handle(discovery.Path, discovery.New(discovery.Config{
		Directory: n, Domains: n.cfg.Domains, TTL: n.cfg.Discovery.TTL, Rate: n.cfg.Discovery.Rate,
		Base: n.edge.Base, Peer: n.edge.Peer, Origin: n.edge.AllowOrigin, Log: n.log,
	}))
	n.edge.Handle(graph.Path, n.noticeDoor())
	for path, h := range n.composing.lines.Handlers() {
		n.edge.Handle(path, h)
	}
	if n.cfg.BOSH.Enabled {
		for _, path := range n.cfg.BOSH.Paths {
			n.edge.HandlePoll(path, n.bosh)
		}
	}
	if n.cfg.WebSocket.Enabled {
		n.edge.Handle(n.cfg.WebSocket.Path, n.websocket)
	}
	return nil
}
