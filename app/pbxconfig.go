package app

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/ami"
	"github.com/deskline/deskline/presence/esl"
	"github.com/deskline/deskline/presence/innovaphone"
	"github.com/deskline/deskline/presence/pbx"
)

// prepare reads what the configuration names, and changes nothing.
func (s *switches) prepare(cfg configs.Config) ([]wish, error) {
	var all []wish
	for i, a := range cfg.Presence.Asterisk {
		w, err := asterisk(a, s.n)
		if err != nil {
			return nil, fmt.Errorf("presence.asterisk[%d].%w", i, err)
		}
		w.key = fmt.Sprintf("presence.asterisk[%d]", i)
		all = append(all, w)
	}
	for i, f := range cfg.Presence.FreeSWITCH {
		w, err := freeswitch(f, s.n)
		if err != nil {
			return nil, fmt.Errorf("presence.freeswitch[%d].%w", i, err)
		}
		w.key = fmt.Sprintf("presence.freeswitch[%d]", i)
		all = append(all, w)
	}
	for i, p := range cfg.Presence.Innovaphone {
		w, err := innovaphonePBX(p, s.n)
		if err != nil {
			return nil, fmt.Errorf("presence.innovaphone[%d].%w", i, err)
		}
		w.key = fmt.Sprintf("presence.innovaphone[%d]", i)
		all = append(all, w)
	}
	return all, nil
}

// asterisk makes a wish of an Asterisk. The error begins with the key.
func asterisk(a configs.Asterisk, n *node) (wish, error) {
	secret, roots, err := signIn(a.PasswordFile, a.CAFile)
	if err != nil {
		return wish{}, err
	}
	client, err := ami.New(ami.Config{
		Address: a.HostPort(), TLS: switchTLS(a.TLS, a.Host(), roots), User: a.User, Secret: string(secret),
		Devices: a.Watch == "devices", Contexts: a.Contexts, Technologies: a.Technologies, Ping: a.Ping, Resync: a.Resync, Log: n.log,
	})
	if err != nil {
		return wish{}, fmt.Errorf("password_file: %w", err)
	}
	return wish{
		mark: sha256.Sum256(fmt.Appendf(nil, "%+v\x00%s\x00%s", a, secret, roots)),
		cfg: pbx.Config{
			Name: "asterisk:" + a.ID(), Talk: client.Talk, Prefix: a.Prefix, Domain: a.Domain, Expires: a.Expires, Limit: a.MaxLines, Log: n.log,
		},
	}, nil
}

// freeswitch makes a wish of a FreeSWITCH. The error begins with the key.
func freeswitch(f configs.FreeSWITCH, n *node) (wish, error) {
	secret, roots, err := signIn(f.PasswordFile, f.CAFile)
	if err != nil {
		return wish{}, err
	}
	client, err := esl.New(esl.Config{
		Address: f.HostPort(), TLS: switchTLS(f.TLS, f.Host(), roots), User: f.User, Password: string(secret), Ping: f.Ping, Resync: f.Resync, Log: n.log,
	})
	if err != nil {
		return wish{}, fmt.Errorf("password_file: %w", err)
	}
	return wish{
		mark: sha256.Sum256(fmt.Appendf(nil, "%+v\x00%s\x00%s", f, secret, roots)),
		cfg: pbx.Config{
			Name: "freeswitch:" + f.ID(), Talk: client.Talk, Prefix: f.Prefix, Domain: f.Domain, Expires: f.Expires, Limit: f.MaxLines, Log: n.log,
		},
	}, nil
}

// innovaphonePBX makes a wish of a switch of innovaphone. The error begins with the key.
func innovaphonePBX(p configs.Innovaphone, n *node) (wish, error) {
	secret, roots, err := signIn(p.PasswordFile, p.CAFile)
	if err != nil {
		return wish{}, err
	}
	lines, err := innovaphone.Lines(p.Lines)
	if err != nil {
		return wish{}, fmt.Errorf("lines: %w", err)
	}
	client, err := innovaphone.New(innovaphone.Config{
		URL: p.Address(), TLS: switchTLS(p.Secure(), p.ServerName, roots), App: p.App, Password: string(secret), Lines: lines, Ping: p.Ping, Log: n.log,
	})
	if err != nil {
		return wish{}, fmt.Errorf("password_file: %w", err)
	}
	return wish{
		mark: sha256.Sum256(fmt.Appendf(nil, "%+v\x00%s\x00%s", p, secret, roots)),
		cfg: pbx.Config{
			Name: "innovaphone:" + p.ID(), Talk: client.Talk, Prefix: p.Prefix, Domain: p.Domain, Expires: p.Expires, Limit: innovaphone.MaxLines, Log: n.log,
		},
	}, nil
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
