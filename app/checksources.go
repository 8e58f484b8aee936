package app

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/sip"
	"github.com/deskline/deskline/xmpp/jid"
)

// reachTime is how long an outside system has to answer a check.
const reachTime = 5 * time.Second

// checkSources tries what telephones and calendars are told by.
func checkSources(ctx context.Context, cfg configs.Config) []CheckResult {
	var results []CheckResult
	for i, c := range cfg.Presence.Calendars {
		name := fmt.Sprintf("presence.calendars[%d]", i)
		results = append(results, checkCalendar(ctx, name, c, cfg.Domains[0]))
		if c.Kind == "graph" && c.Watch {
			results = append(results, checkNotify(ctx, name+".notify_url", c))
		}
	}
	if !cfg.SIP.Enabled() {
		return results
	}
	if cfg.SIP.Speaks("udp") {
		results = append(results, checkDatagrams(ctx, "sip.listen (UDP)", cfg.SIP.Listen))
	}
	if cfg.SIP.Speaks("tcp") {
		results = append(results, checkListen(ctx, "sip.listen (TCP)", cfg.SIP.Listen))
	}
	if cfg.SIP.Speaks("tls") {
		results = append(results, checkListen(ctx, "sip.tls_listen", cfg.SIP.TLSListen))
	}
	if cfg.SIP.UsersFile != "" {
		users, err := sip.ReadUsers(cfg.SIP.UsersFile, cfg.SIP.Realm)
		results = append(results, CheckResult{Name: "sip.users_file", Detail: fmt.Sprintf("%s, %d users", cfg.SIP.UsersFile, len(users)), Err: err})
	}
	roots, err := telephoneRoots(cfg.SIP.CAFile)
	if err != nil {
		return append(results, CheckResult{Name: "sip.ca_file", Err: err})
	}
	for i, s := range cfg.SIP.Subscribe {
		one, err := subscription(s)
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, reachTime)
			err = one.Reach(ctx, roots)
			cancel()
		}
		results = append(results, CheckResult{Name: fmt.Sprintf("sip.subscribe[%d]", i), Detail: s.Server, Err: err})
	}
	return results
}

func checkCalendar(ctx context.Context, name string, c configs.Calendar, domain string) CheckResult {
	r := CheckResult{Name: name, Detail: c.Name + ", " + c.URL + c.File}
	if c.Exchange() {
		return checkExchange(ctx, r, c, domain)
	}
	if _, r.Err = newCalendar(c, nil, nil, nil, discard()); r.Err != nil || c.URL == "" {
		return r
	}
	config, err := calendarClient(c)
	if err != nil {
		r.Err = err
		return r
	}
	client, err := calendar.NewClient(config)
	if err != nil {
		r.Err = err
		return r
	}
	somebody, err := jid.New("user", domain, "")
	if err != nil {
		r.Err = err
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	r.Err = client.Reach(ctx, somebody)
	return r
}

func checkDatagrams(ctx context.Context, name, addr string) CheckResult {
	r := CheckResult{Name: name, Detail: addr}
	var lc net.ListenConfig
	l, err := lc.ListenPacket(ctx, "udp", addr)
	if err != nil {
		r.Err = err
		return r
	}
	r.Err = l.Close()
	return r
}
