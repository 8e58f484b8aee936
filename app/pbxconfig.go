package app

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/ami"
	"github.com/deskline/deskline/presence/ari"
	"github.com/deskline/deskline/presence/esl"
	"github.com/deskline/deskline/presence/innovaphone"
	"github.com/deskline/deskline/presence/pbx"
)

// prepare reads what the configuration names, and changes nothing.
func (s *switches) prepare(cfg configs.Config) ([]wish, error) {
	var peers []peer
	add := func(list string, at int, p peer) {
		p.key = fmt.Sprintf("%s[%d]", list, at)
		peers = append(peers, p)
	}
	for i, a := range cfg.Presence.Asterisk {
		add("presence.asterisk", i, s.asterisk(a))
	}
	for i, f := range cfg.Presence.FreeSWITCH {
		add("presence.freeswitch", i, s.freeswitch(f))
	}
	for i, v := range cfg.Presence.Innovaphone {
		add("presence.innovaphone", i, s.innovaphone(v))
	}
	all := make([]wish, len(peers))
	for i, p := range peers {
		var err error
		if all[i], err = p.wish(); err != nil {
			return nil, fmt.Errorf("%s.%w", p.key, err)
		}
		all[i].cfg.Log = s.n.log
	}
	return all, nil
}

// peer is a switch of the configuration, of any kind.
type peer struct {
	key                  string
	whole                any // as the configuration has it
	passwordFile, caFile string
	tls                  bool
	host                 string // in the certificate
	cfg                  pbx.Config
	// client makes what speaks with it. The error begins with the key.
	client func(password string, secure *tls.Config) (talker, error)
}

// talker speaks with a switch.
type talker interface {
	Talk(context.Context, *pbx.Board) error
}

// wish reads the files of a switch. The error begins with the key.
func (p peer) wish() (wish, error) {
	password, roots, err := signIn(p.passwordFile, p.caFile)
	if err != nil {
		return wish{}, err
	}
	client, err := p.client(string(password), switchTLS(p.tls, p.host, roots))
	if err != nil {
		return wish{}, err
	}
	p.cfg.Talk = client.Talk
	return wish{key: p.key, cfg: p.cfg, mark: sha256.Sum256(fmt.Appendf(nil, "%+v\x00%s\x00%s", p.whole, password, roots))}, nil
}

// made is a client of a switch, and what is wrong with its password if there is none.
func made[T talker](client T, err error) (talker, error) {
	if err != nil {
		return nil, fmt.Errorf("password_file: %w", err)
	}
	return client, nil
}

func (s *switches) asterisk(a configs.Asterisk) peer {
	p := peer{
		whole: a, passwordFile: a.PasswordFile, caFile: a.CAFile, tls: a.TLS, host: a.Host(),
		cfg: pbx.Config{Name: "asterisk:" + a.ID(), Prefix: a.Prefix, Domain: a.Domain, Expires: a.Expires, Limit: a.MaxLines},
		client: func(password string, secure *tls.Config) (talker, error) {
			return made(ami.New(ami.Config{
				Address: a.HostPort(), TLS: secure, User: a.User, Secret: password, Devices: a.OfDevices(), Contexts: a.Contexts,
				Technologies: a.Technologies, Ping: a.Ping, Resync: a.Resync, Log: s.n.log,
			}))
		},
	}
	if a.REST() {
		p.client = func(password string, secure *tls.Config) (talker, error) {
			app := a.App
			if s.trial { // a node may have the app
				app += "-check"
			}
			return made(ari.New(ari.Config{
				URL: a.URL(), TLS: secure, User: a.User, Password: password, App: app, Technologies: a.Technologies, Devices: a.Devices,
				Quiet: s.trial, Ping: a.Ping, Resync: a.Resync, Log: s.n.log,
			}))
		}
	}
	return p
}

func (s *switches) freeswitch(f configs.FreeSWITCH) peer {
	return peer{
		whole: f, passwordFile: f.PasswordFile, caFile: f.CAFile, tls: f.TLS, host: f.Host(),
		cfg: pbx.Config{Name: "freeswitch:" + f.ID(), Prefix: f.Prefix, Domain: f.Domain, Expires: f.Expires, Limit: f.MaxLines},
		client: func(password string, secure *tls.Config) (talker, error) {
			return made(esl.New(esl.Config{
				Address: f.HostPort(), TLS: secure, User: f.User, Password: password, Ping: f.Ping, Resync: f.Resync, Log: s.n.log,
			}))
		},
	}
}

func (s *switches) innovaphone(v configs.Innovaphone) peer {
	return peer{
		whole: v, passwordFile: v.PasswordFile, caFile: v.CAFile, tls: v.Secure(), host: v.ServerName,
		cfg: pbx.Config{Name: "innovaphone:" + v.ID(), Prefix: v.Prefix, Domain: v.Domain, Expires: v.Expires, Limit: innovaphone.MaxLines},
		client: func(password string, secure *tls.Config) (talker, error) {
			lines, err := innovaphone.Lines(v.Lines)
			if err != nil {
				return nil, fmt.Errorf("lines: %w", err)
			}
			return made(innovaphone.New(innovaphone.Config{
				URL: v.Address(), TLS: secure, App: v.App, Password: password, Lines: lines, Ping: v.Ping, Log: s.n.log,
			}))
		},
	}
}

// signIn reads the files of a switch.
func signIn(passwordFile, caFile string) (secret, roots []byte, err error) {
	if secret, err = os.ReadFile(passwordFile); err != nil {
		return nil, nil, fmt.Errorf("password_file: %w", err)
	}
	if caFile == "" {
		return bare(secret), nil, nil
	}
	if roots, err = os.ReadFile(caFile); err != nil {
		return nil, nil, fmt.Errorf("ca_file: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(roots) {
		return nil, nil, fmt.Errorf("ca_file: %s has no certificate", caFile)
	}
	return bare(secret), roots, nil
}

// bare is a password without the end of its row.
func bare(secret []byte) []byte { return []byte(strings.TrimRight(string(secret), "\r\n")) }

func switchTLS(on bool, host string, roots []byte) *tls.Config {
	if !on {
		return nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if roots != nil {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(roots)
	}
	return c
}
