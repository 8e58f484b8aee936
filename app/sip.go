package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/sip"
)

// telephoneConfig reads what the configuration names. It is nil where nobody is to tell.
func telephoneConfig(cfg configs.SIP, keeper *certs.Keeper, lines sip.Lines, mine func(server string) bool, log *slog.Logger) (*sip.Config, error) {
	if !cfg.Enabled() {
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	c := &sip.Config{
		Listen: cfg.Listen, UDP: cfg.Speaks("udp"), TCP: cfg.Speaks("tcp"), Domains: cfg.Domains, Trusted: cfg.Trusted, Realm: cfg.Realm,
		MinExpires: cfg.MinExpires, MaxExpires: cfg.MaxExpires, MaxPublications: cfg.MaxPublications, Rate: cfg.Rate,
		Mine: mine, Lines: lines, Log: log,
	}
	if cfg.Speaks("tls") {
		c.TLSListen, c.TLS = cfg.TLSListen, keeper.TLSConfig(0)
		c.TLS.NextProtos = nil // those are of HTTP
	}
	var err error
	if cfg.UsersFile != "" {
		if c.Users, err = sip.ReadUsers(cfg.UsersFile, cfg.Realm); err != nil {
			return nil, fmt.Errorf("sip.users_file: %w", err)
		}
	}
	if c.TLSClient, err = telephoneRoots(cfg.CAFile); err != nil {
		return nil, fmt.Errorf("sip.ca_file: %w", err)
	}
	for i, s := range cfg.Subscribe {
		one, err := subscription(s)
		if err != nil {
			return nil, fmt.Errorf("sip.subscribe[%d].%w", i, err)
		}
		c.Subscribe = append(c.Subscribe, one)
	}
	return c, nil
}

// subscription is a server with its password.
func subscription(s configs.SIPServer) (sip.Subscription, error) {
	one := s.Subscription()
	if s.PasswordFile == "" {
		return one, nil
	}
	secret, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return one, fmt.Errorf("password_file: %w", err)
	}
	one.Password = strings.TrimRight(string(secret), "\r\n")
	return one, nil
}

func telephoneRoots(file string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return config, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " has no certificate")
	}
	return config, nil
}
