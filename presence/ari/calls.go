package ari

import "strings"

const (
	maxChannels = 100_000
	maxID       = 255 // bytes of the id or name of a channel
)

// channel is one of a call.
type channel struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// device is what a channel is of: PJSIP/2001-00000001 of PJSIP/2001.
func (c channel) device() string {
	at := strings.LastIndexByte(c.Name, '-')
	if at < 0 || c.ID == "" || len(c.ID) > maxID || len(c.Name) > maxID {
		return ""
	}
	return c.Name[:at]
}

// calls are the channels of devices, and which of them are held. Asterisk says of a PJSIP device
// that it is in use while its telephone holds a call, and no list of its has that. In go events and
// lists, out comes what devices do. It has no clock.
type calls struct {
	devices map[string]map[string]bool // by device and id; whether it is held
	of      map[string]string          // the device by id
	fresh   map[string]bool            // ids of events since a list was asked for, nil = none was; whether the channel is there
}

func newCalls() *calls {
	return &calls{devices: map[string]map[string]bool{}, of: map[string]string{}}
}

// put notes a channel, and whether it is held.
func (c *calls) put(id, device string, held bool) {
	if old, there := c.of[id]; there && old != device {
		c.drop(id)
	} else if !there && len(c.of) >= maxChannels {
		return
	}
	if c.devices[device] == nil {
		c.devices[device] = map[string]bool{}
	}
	c.of[id], c.devices[device][id] = device, held
}

// drop forgets a channel.
func (c *calls) drop(id string) {
	device := c.of[id]
	delete(c.of, id)
	if delete(c.devices[device], id); len(c.devices[device]) == 0 {
		delete(c.devices, device)
	}
}

// event takes an event of a channel that is of a device.
func (c *calls) event(kind string, of channel, device string) {
	there := kind != "ChannelDestroyed"
	if c.fresh != nil && len(c.fresh) < maxChannels {
		c.fresh[of.ID] = there
	}
	if !there {
		c.drop(of.ID)
		return
	}
	c.put(of.ID, device, kind == "ChannelHold")
}

// begin is called before lists are asked for, done when all were taken.
func (c *calls) begin() { c.fresh = map[string]bool{} }

func (c *calls) done() { c.fresh = nil }

// list takes what channels a device has by a list. What events have told since it was asked for counts more.
func (c *calls) list(device string, ids []string) {
	known := map[string]bool{}
	for _, id := range ids {
		known[id] = true
		_, heard := c.fresh[id]
		if _, there := c.of[id]; !heard && !there && id != "" && len(id) <= maxID {
			c.put(id, device, false)
		}
	}
	for id := range c.devices[device] {
		if !known[id] && !c.fresh[id] {
			c.drop(id)
		}
	}
}

// held reports whether a device has calls and holds them all.
func (c *calls) held(device string) bool {
	all := c.devices[device]
	for _, held := range all {
		if !held {
			return false
		}
	}
	return len(all) > 0
}
