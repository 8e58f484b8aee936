package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
)

// reply is the answer to one getSchedule.
type reply struct {
	status int
	after  time.Duration
	body   schedules
}

// schedules is what of an answer matters: neither subject nor location has a place.
type schedules struct {
	Value []schedule `json:"value"`
	Error struct {
		Code string `json:"code"`
	} `json:"error"`
}

type schedule struct {
	ID    string `json:"scheduleId"`
	View  string `json:"availabilityView"`
	Error *struct {
		Code string `json:"responseCode"`
	} `json:"error"`
	Items []struct {
		Status string `json:"status"`
		Start  zoned  `json:"start"`
		End    zoned  `json:"end"`
	} `json:"scheduleItems"`
}

// answer is that to one part of a JSON batch.
type answer struct {
	status int
	after  time.Duration
	body   json.RawMessage
}

// parseBatch reads the answers of a JSON batch, which come in any order.
func parseBatch(body io.Reader, n int) ([]answer, error) {
	var all struct {
		Responses []struct {
			ID      string          `json:"id"`
			Status  int             `json:"status"`
			Headers map[string]any  `json:"headers"`
			Body    json.RawMessage `json:"body"`
		} `json:"responses"`
	}
	if err := json.NewDecoder(body).Decode(&all); err != nil {
		return nil, err
	}
	answers := make([]answer, n)
	for _, one := range all.Responses {
		at, err := strconv.Atoi(one.ID)
		if err != nil || at < 1 || at > n || answers[at-1].status != 0 {
			return nil, fmt.Errorf("there is an answer to nothing: %q", calendar.Brief(one.ID, 20))
		}
		a := &answers[at-1]
		a.status, a.body = one.Status, one.Body
		for name, value := range one.Headers {
			if text, ok := value.(string); ok && strings.EqualFold(name, "Retry-After") {
				a.after = calendar.RetryAfter(text)
			}
		}
	}
	for i, a := range answers {
		if a.status == 0 {
			return nil, fmt.Errorf("request %d was not answered", i+1)
		}
	}
	return answers, nil
}

const unclear = "with an answer that cannot be read"

// reply takes an answer for that to a getSchedule.
func (a answer) reply() reply {
	r := reply{status: a.status, after: a.after}
	if err := json.Unmarshal(a.body, &r.body); err != nil && a.status/100 == 2 {
		r = reply{status: http.StatusBadGateway} // the others are none the worse
		r.body.Error.Code = unclear
	}
	return r
}

// status is an answer that is no success.
type status struct {
	code int
	why  string // the code of the error that the service names
}

func (e *status) Error() string {
	return strings.TrimSpace(fmt.Sprintf("Microsoft Graph says %d %s %s", e.code, http.StatusText(e.code), calendar.Brief(e.why, 80)))
}

func refused(err error) bool {
	var s *status
	return errors.As(err, &s) && s.code == http.StatusUnauthorized
}

// unable reports whether it may be that the one in whose name was asked has no mailbox,
// or none that may be read.
func (r reply) unable() bool {
	return r.status == http.StatusNotFound || r.status == http.StatusForbidden
}

// failure is what an answer that is no success means.
func (r reply) failure() error {
	f := &calendar.Failure{Err: &status{r.status, r.body.Error.Code}, After: r.after}
	switch {
	case r.status == http.StatusUnauthorized, r.status == http.StatusTooManyRequests, r.status == http.StatusRequestTimeout:
	case r.status == http.StatusGatewayTimeout, r.status == http.StatusRequestEntityTooLarge:
		f.Fewer = true
	case r.status/100 == 4:
		f.Own = true
	}
	return f
}

// results says what each of a part was told.
func (r reply) results(p *part) []calendar.Result {
	results := make([]calendar.Result, len(p.asks))
	if r.status/100 != 2 {
		for i := range results {
			results[i].Err = r.failure()
		}
		return results
	}
	for i, s := range r.match(p.boxes) {
		results[i] = s.result(p)
	}
	return results
}

// match finds the schedule of each mailbox: by its address, and where the service
// names another address of a mailbox, by the place in the list.
func (r reply) match(boxes []string) []*schedule {
	asked := make(map[string]bool, len(boxes))
	for _, box := range boxes {
		asked[strings.ToLower(box)] = true
	}
	named := make(map[string]*schedule, len(r.body.Value))
	for i := range r.body.Value {
		named[strings.ToLower(r.body.Value[i].ID)] = &r.body.Value[i]
	}
	list := make([]*schedule, len(boxes))
	for i, box := range boxes {
		list[i] = named[strings.ToLower(box)]
		if list[i] == nil && len(r.body.Value) == len(boxes) && !asked[strings.ToLower(r.body.Value[i].ID)] {
			list[i] = &r.body.Value[i]
		}
	}
	return list
}

func own(text string, args ...any) calendar.Result {
	return calendar.Result{Err: &calendar.Failure{Err: fmt.Errorf(text, args...), Own: true}}
}

// slots are the statuses; all others say that somebody can be reached.
var slots = map[string]presence.Slot{"tentative": presence.SlotTentative, "busy": presence.SlotBusy, "oof": presence.SlotOutOfOffice}

// result is what one mailbox has.
func (s *schedule) result(p *part) calendar.Result {
	switch {
	case s == nil:
		return own("Microsoft Graph left the mailbox out of its answer")
	case s.Error != nil:
		return own("Microsoft Graph says %s of the mailbox", calendar.Brief(s.Error.Code, 80))
	}
	from, until := p.window()
	var a calendar.Answer
	list := make([]presence.Period, 0, len(s.Items))
	for _, item := range s.Items {
		slot, ok := slots[strings.ToLower(item.Status)]
		if !ok {
			continue
		}
		begin, ok := item.Start.point()
		end, also := item.End.point()
		if !ok || !also || end.Before(begin) {
			a.Flaws++
			continue
		}
		list = append(list, presence.Period{From: begin, Until: end, Slot: slot})
	}
	if len(s.Items) == 0 { // all there is for mailboxes of some other organisations
		list = calendar.Digits(s.View, from, slot)
	}
	a.Periods, a.Cut = calendar.Within(list, from, until)
	return calendar.Result{Answer: a}
}

// point is the point of time that a text and its zone say.
func (z zoned) point() (time.Time, bool) {
	zone := calendar.Location(z.Zone)
	if strings.EqualFold(strings.TrimPrefix(z.Zone, "tzone://Microsoft/"), "utc") || z.Zone == "" {
		zone = time.UTC
	}
	if zone == nil || len(z.Time) > 40 {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation("2006-01-02T15:04:05", strings.TrimSuffix(z.Time, "Z"), zone)
	return t.UTC(), err == nil && t.Year() > 1900 && t.Year() < 5000
}
