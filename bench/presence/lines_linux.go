package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/deskline/deskline/bench/site"
)

// What lines do, and whether it counts as a call.
var (
	lineStates = []string{"idle", "ringing", "in-call", "held"}
	lineValues = map[string]uint8{"in-call": 1, "held": 1}
)

// How long a line is believed that is told of again and again, and between two times.
const (
	lineTTL   = 6 * time.Second
	lineAgain = 2 * time.Second
)

// causeOf names a change to a value.
func causeOf(value uint8, begins, ends string) string {
	if value == 1 {
		return begins
	}
	return ends
}

// useLine tells by single reports what a line does. Some are believed for a short time and
// told of again, or not.
func (a *actor) useLine(ctx context.Context) {
	state, ttl := "idle", time.Duration(0)
	repeat := func() { a.report(ctx, state, ttl) }
	if !again(a.i) {
		repeat = nil
	}
	for a.turn(ctx, lineAgain, repeat) {
		state, ttl = lineStates[a.random.IntN(len(lineStates))], 0
		switch {
		case again(a.i):
			ttl = lineTTL
		case a.random.IntN(4) == 0: // and is forgotten
			ttl = time.Duration(2+a.random.IntN(4)) * time.Second
		}
		a.report(ctx, state, ttl)
	}
}

// report tells one node after the other until one has taken it.
func (a *actor) report(ctx context.Context, state string, ttl time.Duration) {
	value := lineValues[state]
	for ; ctx.Err() == nil; site.Pause(ctx, 2*step) {
		name, addr := a.at(site.DoorPort)
		began := time.Now()
		a.book.begin(a.i, line, value, causeOf(value, callBegins, callEnds), name+" over HTTP")
		what := reportOf(a.i, state, ttl, began)
		err := a.ask(ctx, http.MethodPut, "http://"+addr+"/presence/v1/lines/"+lineOf(a.i), bytes.NewReader(what))
		if err == nil {
			a.book.accept(a.i, line, value, lapse(line, value, lineLapses, began, ttl)...)
			return
		}
		a.book.note(a.i, "%s: %v", name, err)
		a.node++
	}
}

// lapse is the end of what is believed for a time, which begins between began and now.
func lapse(f fact, value uint8, cause string, began time.Time, ttl time.Duration) []planned {
	if ttl == 0 || value == 0 {
		return nil
	}
	return []planned{{fact: f, cause: cause, at: began.Add(ttl)}, {at: time.Now().Add(ttl)}}
}

// reportOf writes what a line does.
func reportOf(i int, state string, ttl time.Duration, at time.Time) []byte {
	report := struct {
		Line  string `json:"line"`
		State string `json:"state"`
		TTL   int    `json:"ttl,omitempty"`
		Seq   int64  `json:"seq"`
	}{lineOf(i), state, int(ttl / time.Second), at.UnixMicro()}
	text, _ := json.Marshal(report) //nolint:errchkjson // it has nothing that cannot be written
	return append(text, '\n')
}

// ask makes a request of a source.
func (c *cast) ask(ctx context.Context, method, url string, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(text))
	}
	if err == nil && strings.Contains(string(text), `"ended"`) {
		err = fmt.Errorf("the feed was ended: %s", bytes.TrimSpace(text))
	}
	return err
}

const (
	feedTime = 2 * time.Second // that one request of the feed takes
	feedRest = 200 * time.Millisecond
)

// feed tells of all lines that are told of in bulk, by one request after the other that
// stays open for a while. After one that was not answered it tells of all anew.
func (a *actor) feed(ctx context.Context) {
	states := map[int]string{}
	for i := range a.cfg.Users {
		if inBulk(i) {
			states[i] = "idle"
		}
	}
	all := true
	for ctx.Err() == nil {
		if a.silent.Load() || a.quiet.Load() && !all {
			site.Pause(ctx, step)
			continue
		}
		if all = a.feedOnce(ctx, states, all) != nil; all {
			a.node++
		}
		site.Pause(ctx, feedRest)
	}
}

// feedOnce makes one request of the feed.
func (a *actor) feedOnce(ctx context.Context, states map[int]string, all bool) error {
	name, addr := a.at(site.DoorPort)
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() { // ends with the request
		err := a.ask(ctx, http.MethodPost, "http://"+addr+"/presence/v1/lines", in)
		in.CloseWithError(err)
		done <- err
	}()
	written := map[int]bool{}
	tell := func(i int) bool {
		value := lineValues[states[i]]
		a.book.begin(i, line, value, causeOf(value, bulkBegins, bulkEnds), name+" in bulk")
		_, err := out.Write(reportOf(i, states[i], 0, time.Now()))
		written[i] = true
		return err == nil
	}
	if all {
		for i := range states {
			tell(i)
		}
	}
	for end := time.Now().Add(feedTime * 3 / 4); time.Now().Before(end) && ctx.Err() == nil && !a.quiet.Load(); site.Pause(ctx, step) {
		for i := range states {
			if a.chance(a.pace()) {
				states[i] = lineStates[a.random.IntN(len(lineStates))]
				if !tell(i) {
					end = time.Now()
				}
			}
		}
	}
	_ = out.Close()
	err := <-done
	for i := range written {
		if err == nil {
			a.book.accept(i, line, lineValues[states[i]])
		} else {
			a.book.note(i, "%s: %v", name, err)
		}
	}
	return err
}
