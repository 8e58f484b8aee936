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
)

// event is what Asterisk tells, as far as it matters here.
type event struct {
	Type   string      `json:"type"`
	Device deviceState `json:"device_state"`
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
	switch h.What.Type {
	case "DeviceStateChanged":
		return t.change(h.What.Device.Name, asterisk.Device(h.What.Device.State))
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
	if _, there := t.shown[device]; !there && len(t.also) < maxAlso {
		t.also[device] = struct{}{}
	}
	technology, line := asterisk.Split(device)
	t.lines.Set(line, technology, state)
	return nil
}

// wants reports whether a device is to be told of.
func (c *Config) wants(device string) bool {
	technology, line := asterisk.Split(device)
	return line != "" && (slices.ContainsFunc(c.Technologies, func(name string) bool { return strings.EqualFold(name, technology) }) ||
		slices.Contains(c.Devices, device))
}
