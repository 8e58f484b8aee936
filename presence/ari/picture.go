package ari

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx/asterisk"
)

// atOnce is how many devices Asterisk is asked for at a time; it has 100 connections for all its clients.
const atOnce = 4

// picture is what devices do, and what channels endpoints have.
type picture struct {
	devices  map[string]sight
	channels map[string][]string
}

// sight is what one device does, and whether it is in one of Asterisk's lists.
type sight struct {
	state  presence.Line
	listed bool
}

// endpoint is one of the list of endpoints.
type endpoint struct {
	Technology string   `json:"technology"`
	Resource   string   `json:"resource"`
	State      string   `json:"state"`
	Channels   []string `json:"channel_ids"`
}

// settled says what the device of an endpoint does, if that is clear from the list. For PJSIP Asterisk
// itself makes the state of a device without channels of that of the endpoint.
func (e endpoint) settled() (presence.Line, bool) {
	if e.Technology != "PJSIP" || len(e.Channels) > 0 {
		return presence.LineUnknown, false
	}
	switch e.State {
	case "online":
		return presence.LineIdle, true
	case "offline":
		return presence.LineUnknown, true
	}
	return presence.LineUnknown, false
}

// endpoint takes one of the list. It returns the device if that has to be asked for.
func (p picture) endpoint(c *Config, e endpoint) (ask string) {
	device := e.Technology + "/" + e.Resource
	if _, there := p.devices[device]; there || !c.wants(device) {
		return ""
	}
	state, settled := e.settled()
	if p.devices[device] = (sight{state, true}); !settled {
		ask = device
	}
	if len(e.Channels) > 0 {
		p.channels[device] = e.Channels
	}
	return ask
}

// further are the devices to be asked for that may be in no list.
func (t *talk) further() []string {
	all := slices.Clone(t.cfg.Devices)
	for device := range t.also {
		all = append(all, device)
	}
	return all
}

// look has the full picture. It is there when all that Asterisk had sent before has been heard.
func (t *talk) look(ctx context.Context, further []string) (picture, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	p, ask := picture{map[string]sight{}, map[string][]string{}}, []string{}
	err := list(ctx, t.rest, "endpoints", func(e endpoint) {
		if device := p.endpoint(&t.cfg, e); device != "" {
			ask = append(ask, device)
		}
	})
	if err != nil {
		return p, err
	}
	err = list(ctx, t.rest, "deviceStates", func(d deviceState) { // those that are set by this interface
		if t.cfg.wants(d.Name) {
			p.devices[d.Name] = sight{asterisk.Device(d.State), true}
		}
	})
	if err != nil {
		return p, err
	}
	for _, device := range further {
		if _, there := p.devices[device]; !there {
			p.devices[device] = sight{}
			ask = append(ask, device)
		}
	}
	if err := t.ask(ctx, p.devices, ask); err != nil {
		return p, err
	}
	if err := t.conn.Ping(ctx); err != nil {
		return p, fmt.Errorf("full picture: %w", errSilent)
	}
	return p, nil
}

// ask asks what devices do, one by one.
func (t *talk) ask(ctx context.Context, p map[string]sight, devices []string) error {
	states := make([]presence.Line, len(devices))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, device := range devices {
		g.Go(func() (err error) {
			if err = within.Err(); err == nil {
				states[i], err = t.rest.device(within, device)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil { // out of time before it was asked for
			err = fmt.Errorf("full picture: %w", errSilent)
		}
		return err
	}
	for i, device := range devices {
		p[device] = sight{states[i], p[device].listed}
	}
	return nil
}
