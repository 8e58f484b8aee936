package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/ldap"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stream"
)

// entrance is the directory in the words of the auth package.
type entrance struct {
	*ldap.Directory
	log *slog.Logger
}

// Login implements auth.Directory.
func (e entrance) Login(ctx context.Context, user jid.JID, password string, turn func() error) error {
	err := e.Directory.Login(ctx, user, password, turn)
	no, disabled := errors.AsType[*ldap.DisabledError](err)
	switch {
	case disabled:
		return sasl.NewFailure(sasl.AccountDisabled, "chat is not enabled: "+no.Why)
	case errors.Is(err, ldap.ErrExpired):
		return sasl.NewFailure(sasl.CredentialsExpired, "the password has expired and has to be changed first")
	case errors.Is(err, ldap.ErrAmbiguous):
		e.log.WarnContext(ctx, "sign-in by the directory", "err", err)
		return auth.ErrWrong
	case errors.Is(err, ldap.ErrPassword):
		return auth.ErrWrong
	case errors.Is(err, ldap.ErrAway), errors.Is(err, ldap.ErrBusy):
		return fmt.Errorf("%w: %w", auth.ErrDirectoryAway, err)
	}
	return err
}

// directoryConfig is what the configuration says of the directory.
func directoryConfig(cfg configs.Config) ldap.Config {
	l, a := cfg.LDAP, cfg.LDAP.Attributes
	return ldap.Config{
		URLs: l.URLs, StartTLS: l.StartTLS, CAFile: l.CAFile, CertFile: l.CertFile, KeyFile: l.KeyFile, ServerName: l.ServerName,
		BindDN: l.BindDN, BindPassword: l.BindPassword.Reveal(), Domains: cfg.DirectoryDomains(), Schema: l.Schema,
		Base: l.Base, OneLevel: l.Scope == "one", GroupBase: l.GroupBase,
		Attributes: ldap.Attributes{
			User: a.User, Domain: a.Domain, Name: a.Name, Given: a.Given, Family: a.Family, Mail: a.Mail, Phones: a.Phones, Lines: a.Lines, Title: a.Title,
			Department: a.Department, Company: a.Company, Entity: a.Entity, Photo: a.Photo, Groups: a.Groups,
		},
		ConnectTimeout: l.ConnectTimeout, Pool: l.Pool, Settings: directorySettings(cfg),
	}
}

// directorySettings are those that change while running.
func directorySettings(cfg configs.Config) ldap.Settings {
	l := cfg.LDAP
	return ldap.Settings{
		Filter: l.Filter, GroupFilter: l.GroupFilter, Timeout: l.Timeout, ReadTimeout: l.ReadTimeout, Refresh: l.Refresh, PageSize: l.PageSize,
		Enabled: ldap.Enabled{Filter: l.Enabled.Filter, Attribute: l.Enabled.Attribute, Value: l.Enabled.Value, Groups: l.Enabled.Groups, Depth: l.Enabled.Depth},
	}
}

// buildDirectory joins the directory to sign-in, if there is one.
func (n *node) buildDirectory(context.Context) error {
	if len(n.cfg.LDAP.URLs) == 0 {
		return nil
	}
	cfg := directoryConfig(n.cfg)
	cfg.Present = n.present
	cfg.Log, cfg.Metrics = n.log, n.metrics.Directory()
	var err error
	if n.directory, err = ldap.New(cfg); err != nil {
		return err
	}
	n.accounts.Join(entrance{n.directory, n.log})
	return nil
}

// directorySource is the directory as a source of people and their pictures.
type directorySource struct{ *ldap.Directory }

// Photo implements vcard.Photos.
func (s directorySource) Photo(ctx context.Context, person people.Person) (mime string, data []byte, err error) {
	data, err = s.Directory.Photo(ctx, person.JID)
	if err != nil || len(data) == 0 {
		return "", nil, err
	}
	return http.DetectContentType(data), data, nil
}

// present lists the people of the directory who are signed in here.
func (n *node) present() []jid.JID {
	var list []jid.JID
	for _, s := range n.sessions.Sessions() {
		if j := s.JID(); !j.IsZero() && n.directory.Holds(j.Domain()) {
			list = append(list, j.Bare())
		}
	}
	return list
}

// fixed reports whether accounts of a domain cannot be changed by their owners.
func (n *node) fixed(domain string) bool {
	return !n.options.Config.Auth.ChangePassword || n.directory != nil && n.directory.Holds(domain)
}

// withdrawn is how often everybody who is signed in is held against the directory
// even if it has told of no change: sessions come from other nodes, too.
const withdrawn = 5 * time.Second

// enforce ends the sessions of those who may not chat any more. Each node of a
// cluster sees to its own.
func (n *node) enforce(ctx context.Context) error {
	tick := time.NewTicker(withdrawn)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.directory.Changed():
		}
		for _, s := range n.sessions.Sessions() {
			j := s.JID()
			if j.IsZero() || !n.directory.Holds(j.Domain()) {
				continue
			}
			if why, over := n.directory.Withdrawn(j.Bare()); over {
				n.log.InfoContext(ctx, "chat withdrawn", "sid", s.SID().Ref(), "jid", j.String(), "why", why)
				s.End(stream.NotAuthorized, "chat is not enabled any more: "+why)
			}
		}
	}
}

// checkDirectory tells how the directory does. Without it nobody new can sign in,
// but all who are in go on, so the node stays ready.
func (n *node) checkDirectory(context.Context) (string, error) {
	s := n.directory.Stats()
	detail := fmt.Sprintf("%d people, %d enabled", s.People, s.Enabled)
	switch {
	case s.Loading > 0:
		detail += fmt.Sprintf(", %d of them read anew so far", s.Loading)
	case !s.Complete:
		detail = "not read yet"
	}
	if err := n.directory.Away(); err != nil {
		return detail, admin.Degraded("no server answers, nobody new can sign in: " + err.Error())
	}
	if s.Suspect {
		return detail, admin.Degraded("the last read lacked more than half of the people, which the next one has to confirm")
	}
	return detail, nil
}

// directoryMetrics are the figures of the directory.
func (n *node) directoryMetrics() []admin.Labelled {
	if n.directory == nil {
		return nil
	}
	one := func(name, help string, read func(s ldap.Stats) float64) admin.Labelled {
		return admin.Labelled{Name: name, Help: help, Read: func(emit func(float64, ...string)) { emit(read(n.directory.Stats())) }}
	}
	return []admin.Labelled{
		{
			Name: "deskline_ldap_up", Help: "Whether a directory server answered when it was last asked.", Labels: []string{"server"},
			Read: func(emit func(float64, ...string)) {
				for _, s := range n.directory.Stats().Servers {
					up := 1.0
					if s.Err != nil {
						up = 0
					}
					emit(up, s.URL)
				}
			},
		},
		one("deskline_ldap_people", "People of the directory.", func(s ldap.Stats) float64 { return float64(s.People) }),
		one("deskline_ldap_enabled", "People of the directory who may chat.", func(s ldap.Stats) float64 { return float64(s.Enabled) }),
		one("deskline_ldap_loading", "People read so far by a read of everybody under way.", func(s ldap.Stats) float64 { return float64(s.Loading) }),
		one("deskline_ldap_waiting", "Sign-ins and look-ups that wait for a connection.", func(s ldap.Stats) float64 { return float64(s.Waiting) }),
		one("deskline_ldap_read_timestamp_seconds", "When the directory was last read without trouble, 0 for never.", func(s ldap.Stats) float64 {
			if s.Read.IsZero() {
				return 0
			}
			return float64(s.Read.UnixMilli()) / 1000
		}),
	}
}
