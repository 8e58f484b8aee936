package ari

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx"
)

// FuzzEvent takes what a peer sends as events, while the full picture is asked for and after it.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"type":"DeviceStateChanged","application":"deskline","timestamp":"2026-11-21T22:33:01.067+0000","device_state":{"name":"PJSIP/2001","state":"INUSE"},"asterisk_id":"02:fc:00:00:00:01"}`))
	f.Add([]byte(`{"type":"ApplicationReplaced","timestamp":"2026-11-21T22:32:26.252+0000","application":"deskline"}`))
	f.Add([]byte("{\"type\":\"DeviceStateChanged\",\"device_state\":{\"name\":\"Custom:\",\"state\":1}}\n{\"type\":\"x\"}"))
	f.Add([]byte("{\"type\":\"ChannelHold\",\"channel\":{\"id\":\"1\",\"name\":\"PJSIP/2001-1\"}}\n{\"type\":\"ChannelDestroyed\",\"channel\":{\"id\":\"1\",\"name\":\"PJSIP/2002-1\"}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k := newTalk(100)
		k.touched = map[string]presence.Line{}
		for row := range strings.SplitSeq(string(data), "\n") {
			e, err := parse([]byte(row))
			if err != nil && len(err.Error()) > 300 {
				t.Error(err)
			}
			if k.hear(pbx.Heard[event]{What: e, Err: err}) != nil && e.Type == "DeviceStateChanged" && err == nil {
				t.Errorf("%q is an error", row)
			}
		}
		p := picture{devices: map[string]sight{"PJSIP/2001": {listed: true}}, channels: map[string][]string{"PJSIP/2001": {"1"}}}
		if err := k.show(p); err != nil {
			t.Error(err)
		}
		n := 0
		for device, all := range k.calls.devices {
			if n += len(all); len(all) == 0 {
				t.Errorf("%q has no calls", device)
			}
		}
		if n != len(k.calls.of) {
			t.Errorf("%d calls at devices, %d in all", n, len(k.calls.of))
		}
		for device := range k.shown {
			if !k.cfg.wants(device) {
				t.Errorf("%q is there", device)
			}
		}
	})
}

// FuzzEndpoints reads a list.
func FuzzEndpoints(f *testing.F) {
	f.Add(`[{"technology":"PJSIP","resource":"sipp","state":"online","channel_ids":["1795300381.2"]}]`)
	f.Add(`[{},[]]`)
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		err := items(json.NewDecoder(strings.NewReader(text)), func(e endpoint) {
			n++
			e.settled()
		})
		var all []endpoint
		if whole := json.Unmarshal([]byte(text), &all); whole == nil && all != nil && (err != nil || n != len(all)) {
			t.Errorf("%d of %d, %v", n, len(all), err)
		}
	})
}

func TestTooManyItems(t *testing.T) {
	n := 0
	err := items(json.NewDecoder(strings.NewReader("["+strings.Repeat("1,", maxItems)+"1]")), func(int) { n++ })
	if err == nil || n != maxItems {
		t.Errorf("%d items, %v", n, err)
	}
}
