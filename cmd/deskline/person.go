package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/xmpp/jid"
)

// person is somebody of the directory as shown.
type person struct {
	JID        string      `json:"jid"`
	Directory  bool        `json:"directory"`
	DN         string      `json:"dn"`
	Name       string      `json:"name"`
	Email      string      `json:"email"`
	Enabled    bool        `json:"enabled"`
	Why        string      `json:"why,omitempty"`
	Conditions []condition `json:"conditions"`
}

type condition struct {
	Name string `json:"name"`
	Met  bool   `json:"met"`
	Text string `json:"text,omitempty"`
}

// inDirectory reports whether people of a domain are in the directory.
func inDirectory(cfg configs.Config, domain string) bool {
	return slices.Contains(cfg.DirectoryDomains(), domain)
}

// showPerson tells of somebody of the directory, which is asked.
func (c *cli) showPerson(ctx context.Context, cfg configs.Config, j jid.JID) error {
	check, err := app.CheckPerson(ctx, cfg, j)
	if err != nil {
		return fmt.Errorf("ask the directory for %s: %w", j, err)
	}
	p := person{JID: j.String(), Directory: true, DN: check.DN, Name: check.Name, Enabled: check.Enabled, Why: check.Why}
	p.Email = strings.Join(check.Mail, ", ")
	for _, x := range check.Conditions {
		p.Conditions = append(p.Conditions, condition(x))
	}
	if err := c.print(p, func(w *table) {
		w.row("user", p.JID, "in the directory")
		w.row("dn", p.DN)
		w.row("name", p.Name)
		w.row("email", p.Email)
		if p.Enabled {
			w.row("enabled", "yes")
		} else {
			w.row("enabled", "no: "+p.Why)
		}
		for _, x := range p.Conditions {
			met := "met"
			if !x.Met {
				met = "NOT met"
			}
			w.row(x.Name, met, x.Text)
		}
	}); err != nil {
		return err
	}
	if p.DN == "" {
		return fmt.Errorf("there is no user %s in the directory", j)
	}
	return nil
}
