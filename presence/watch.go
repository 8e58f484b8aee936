package presence

import (
	"context"
	"errors"
	"slices"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// A supervisor's client watches a team by an element in its presence, which is with its
// binding: all nodes know it as long as the session lasts, wherever that goes.
//
//	<presence><team xmlns='urn:deskline:presence:1' group='Agents'/></presence>

var teamName = stanza.Name{Space: NSComposed, Local: "team"}

// Bounds of teams.
const (
	maxTeams   = 10   // that one client watches
	maxMembers = 5000 // of one team
)

// teams returns the keys of the groups that a presence asks for.
func teamsOf(st *stanza.Stanza) (keys []string) {
	if st == nil {
		return nil
	}
	for _, c := range st.Children {
		if c.Name != teamName || len(keys) == maxTeams {
			continue
		}
		if el, err := st.Element(c); err == nil {
			keys = append(keys, people.GroupKey(el.SelectAttrValue("group", "")))
		}
	}
	return keys
}

// discreet takes out what nobody but the server is to know.
func discreet(st *stanza.Stanza) *stanza.Stanza {
	if _, watches := st.Child(NSComposed, teamName.Local); !watches {
		return st
	}
	return without(st, teamName)
}

// overseers lists the resources of supervisors that watch somebody and are told nothing
// of them as contacts.
func (s *Service) overseers(ctx context.Context, member jid.JID) (list []router.Binding, err error) {
	if s.cfg.Teams == nil {
		return nil, nil
	}
	var errs []error
	for _, w := range s.cfg.Teams.Supervisors(member) {
		all, err := s.cfg.Router.Registry().Lookup(ctx, w.JID)
		errs = append(errs, err)
		for i := range all {
			b := &all[i]
			if !b.Available() || slices.ContainsFunc(list, func(o router.Binding) bool { return o.Full == b.Full }) ||
				!slices.Contains(teamsOf(b.Presence), w.Team) || !s.cfg.Router.Reaches(w.JID, member) {
				continue
			}
			contact, err := s.cfg.Contacts.MaySee(ctx, member, w.JID)
			if errs = append(errs, err); !contact {
				list = append(list, *b)
			}
		}
	}
	return list, errors.Join(errs...)
}

// introduceTeams tells a resource of the teams that it has begun to watch.
func (s *Service) introduceTeams(ctx context.Context, before *stanza.Stanza, own router.Binding) error {
	if s.cfg.Teams == nil {
		return nil
	}
	old := teamsOf(before)
	bare := own.Full.Bare()
	seen := map[jid.JID]bool{}
	var told []jid.JID
	version := s.composer.version.Load()
	var p post
	var errs []error
	for _, key := range teamsOf(own.Presence) {
		if slices.Contains(old, key) {
			continue
		}
		members, _ := s.cfg.Teams.Members(bare, key) // nobody of one that may not be seen
		for _, m := range members[:min(len(members), maxMembers)] {
			if seen[m] || !s.cfg.Router.Reaches(bare, m) {
				continue
			}
			seen[m] = true
			contact, err := s.cfg.Contacts.MaySee(ctx, m, bare)
			if errs = append(errs, err); contact {
				continue
			}
			told = append(told, m)
			_, err = s.tell(ctx, &p, m, &own)
			errs = append(errs, err)
		}
	}
	if len(told) == 0 {
		return nil
	}
	return errors.Join(append(errs, s.cfg.Router.Send(ctx, p.letters), s.correct(ctx, version, &own, told, nil))...)
}

// getTeam answers with the states of all members of a team.
func (s *Service) getTeam(ctx context.Context, req *mux.Request) ([]byte, error) {
	el, err := req.Element()
	if err != nil {
		return nil, err
	}
	group := el.SelectAttrValue("group", "")
	if s.cfg.Teams == nil {
		return nil, stanza.ErrForbidden()
	}
	asker := req.Stanza.From.Bare()
	members, ok := s.cfg.Teams.Members(asker, group)
	if !ok {
		return nil, stanza.ErrForbidden() // whether there is such a group is not said
	}
	out := stanza.AppendEscaped([]byte("<team xmlns='"+NSComposed+"' group='"), group)
	out = append(out, "'>"...)
	for _, m := range members[:min(len(members), maxMembers)] {
		if !s.cfg.Router.Reaches(asker, m) {
			continue
		}
		r, err := s.Report(ctx, m)
		if err != nil {
			return nil, err
		}
		out = stanza.AppendEscaped(append(out, "<member jid='"...), m.String())
		out = append(append(out, "' state='"...), r.State...)
		if out = append(out, '\''); r.Since != nil {
			out = appendTime(out, " since='", *r.Since)
		}
		out = append(out, "/>"...)
	}
	return append(out, "</team>"...), nil
}
