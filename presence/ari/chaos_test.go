package ari_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/presence/ari"
	"github.com/deskline/deskline/presence/ari/aritest"
	"github.com/deskline/deskline/presence/pbx/asterisk"
	"github.com/deskline/deskline/presence/pbx/pbxtest"
)

// TestChaos has devices change while the one full picture is asked for, in any order, and
// holds that what is believed in the end is so.
func TestChaos(t *testing.T) {
	t.Parallel()
	states := []string{"NOT_INUSE", "INUSE", "RINGING", "ONHOLD", "UNAVAILABLE"}
	var endpoints, others []string
	for i := range 20 {
		endpoints, others = append(endpoints, fmt.Sprintf("PJSIP/20%02d", i)), append(others, fmt.Sprintf("Custom:30%02d", i))
	}
	devices := slices.Concat(endpoints, others)
	p := aritest.Start(t, "deskline", password, endpoints...)
	var mu sync.Mutex // guards over
	over := false
	change := func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			p.Device(devices[rand.N(len(devices))], states[rand.N(len(states))])
		}
	}
	p.OnAnswer(func(string) { change() })
	for round := range 3 {
		mu.Lock()
		over = false
		mu.Unlock()
		w, stop := pbxtest.Run(t, source(t, ari.Config{URL: p.URL(), App: fmt.Sprint("app", round), Devices: others, Resync: time.Hour}))
		asked := len(p.Asked())
		for len(p.Asked()) < asked+10 { // amid it
			change()
		}
		for range 100 {
			change()
		}
		mu.Lock()
		over = true
		mu.Unlock()
		for _, d := range devices {
			_, line := asterisk.Split(d)
			w.Await(line, asterisk.Device(p.State(d)))
		}
		stop()
	}
}
