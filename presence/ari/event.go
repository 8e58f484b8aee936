package ari

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/asterisk"
)

const (
	maxMessage = 1 << 20 // bytes of one event; those of channels may carry variables
	maxTouched = 200_000 // devices of which events tell while a full picture is asked for
	maxAlso    = 10_000  // devices that are in no list
	maxDevice  = 300     // bytes of a name
)

// event is what Asterisk tells, as far as it matters here.
type event struct {
	Type    string      `json:"type"`
	Device  deviceState `json:"device_state"`
	Channel channel     `json:"channel"`
}

// deviceState is what a device does.
type deviceState struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

func parse(data []byte) (event, error) {
	var e event
	if err := json.Unmarshal(data, &e); err != nil || e.Type == "" {
		return e, fmt.Errorf("this is no REST interface of Asterisk: %.40q", data)
	}
	return e, nil
}

// next waits for the next event.
func next(ctx context.Context, conn *websocket.Conn) (event, error) {
	kind, data, err := conn.Read(ctx)
	if err != nil {
		return event{}, fmt.Errorf("read from the switch: %w", err)
	}
	if kind != websocket.MessageText {
		return event{}, errors.New("the switch sends what is no text")
	}
	return parse(data)
}

// hear takes an event.
func (t *talk) hear(h pbx.Heard[event]) error {
	if h.Err != nil {
		return h.Err
	}
	switch e := h.What; e.Type {
	case "DeviceStateChanged":
		return t.change(e.Device.Name, asterisk.Device(e.Device.State))
	case "ChannelCreated", "ChannelHold", "ChannelUnhold", "ChannelDestroyed": // to those who hear all events
		if device := e.Channel.device(); t.cfg.wants(device) {
			t.calls.event(e.Type, e.Channel, device)
			t.set(device)
		}
	case "ApplicationReplaced": // Asterisk leaves the connection open, and silent
		return fmt.Errorf("%w: another program has signed in as the app %s, give each a name of its own", pbx.ErrRefused, t.cfg.App)
	}
	return nil
}

// change takes what a device does.
func (t *talk) change(device string, state presence.Line) error {
	if !t.cfg.wants(device) {
		return nil
	}
	if t.touched != nil {
		if len(t.touched) >= maxTouched {
			return fmt.Errorf("more than %d devices change at once", maxTouched)
		}
		t.touched[device] = state
	}
	if t.shown == nil { // nothing is told yet
		return nil
	}
	s, there := t.shown[device]
	if !there && len(t.also) >= maxAlso {
		return nil
	}
	if !there {
		t.also[device] = struct{}{}
	}
	t.shown[device] = sight{state, s.listed}
	t.set(device)
	return nil
}

// set has a device shown as it is. One in a call may hold it.
func (t *talk) set(device string) {
	s, there := t.shown[device]
	if !there {
		return
	}
	if s.state == presence.LineInCall && t.calls.held(device) {
		s.state = presence.LineHeld
	}
	technology, line := asterisk.Split(device)
	t.lines.Set(line, technology, s.state)
}

// wants reports whether a device is to be told of.
func (c *Config) wants(device string) bool {
	technology, line := asterisk.Split(device)
	return line != "" && len(device) <= maxDevice && (slices.ContainsFunc(c.Technologies, func(name string) bool { return strings.EqualFold(name, technology) }) ||
		slices.Contains(c.Devices, device))
}
