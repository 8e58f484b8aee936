package exchangetest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// subscription is of the calendar of a mailbox.
type subscription struct {
	id, box string
	wake    chan struct{} // something happened; of the stream that it is in
	events  int
}

// Change tells whoever has subscribed to a mailbox that its calendar has changed.
func (s *Server) Change(box string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if sub.box == box {
			sub.events++
			ring(sub.wake)
		}
	}
}

func ring(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// Subscriptions says how many there are.
func (s *Server) Subscriptions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.subs)
}

// Forget loses all subscriptions, as a server that is started again.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, sub := range s.subs {
		delete(s.subs, id)
		ring(sub.wake)
	}
}

func (s *Server) subscribe(w http.ResponseWriter, r Request, n *node) {
	parts, err := n.sequence(messages, "StreamingSubscriptionRequest")
	if err == nil {
		parts, err = parts["StreamingSubscriptionRequest"].sequence(typesNS, "FolderIds", "EventTypes")
	}
	if err == nil {
		if f := parts["FolderIds"].inner; len(f) != 1 || f[0].name.Space != typesNS || f[0].name.Local != "DistinguishedFolderId" || f[0].attrs["Id"] != "calendar" {
			err = fmt.Errorf("not the calendar alone")
		}
		for _, e := range parts["EventTypes"].inner {
			if e.name.Space != typesNS || e.name.Local != "EventType" || !slices.Contains([]string{
				"CopiedEvent", "CreatedEvent", "DeletedEvent", "ModifiedEvent", "MovedEvent", "NewMailEvent", "FreeBusyChangedEvent",
			}, e.text) {
				err = fmt.Errorf("event %s", e.text)
			}
		}
	}
	if err != nil {
		s.t.Errorf("the schema forbids it: %v", err)
		s.fault(w, "ErrorSchemaValidation")
		return
	}
	s.mu.Lock()
	s.Requests = append(s.Requests, r)
	_, ok := s.Mailboxes[strings.ToLower(r.As)]
	denied := s.NoImpersonation
	s.serial++
	sub := &subscription{id: "sub+" + strconv.Itoa(s.serial) + "==", box: strings.ToLower(r.As), wake: make(chan struct{}, 1)}
	if ok && !denied {
		s.subs[sub.id] = sub
	}
	s.mu.Unlock()
	switch {
	case denied:
		s.fault(w, "ErrorImpersonateUserDenied")
	case !ok:
		s.fault(w, "ErrorNonExistentMailbox")
	default:
		if r.Cookie == "" {
			http.SetCookie(w, &http.Cookie{Name: "X-BackEndOverrideCookie", Value: "MAIL1.example.com~1941996295", Path: "/", HttpOnly: true})
		}
		_, _ = io.WriteString(w, head+`<m:SubscribeResponse xmlns:m="`+messages+`" xmlns:t="`+typesNS+`"><m:ResponseMessages><m:SubscribeResponseMessage ResponseClass="Success">`+
			`<m:ResponseCode>NoError</m:ResponseCode><m:SubscriptionId>`+sub.id+`</m:SubscriptionId></m:SubscribeResponseMessage></m:ResponseMessages></m:SubscribeResponse>`+foot)
	}
}

// stream tells of events, an envelope for each part, until the client goes.
func (s *Server) stream(w http.ResponseWriter, hr *http.Request, r Request, n *node) {
	parts, err := n.sequence(messages, "SubscriptionIds", "ConnectionTimeout")
	var ids []string
	if err == nil {
		for _, id := range parts["SubscriptionIds"].inner {
			if id.name.Space != typesNS || id.name.Local != "SubscriptionId" || id.text == "" {
				err = fmt.Errorf("%v", id.name)
			}
			ids = append(ids, id.text)
		}
		if minutes, bad := strconv.Atoi(parts["ConnectionTimeout"].text); bad != nil || minutes < 1 || minutes > 30 || len(ids) == 0 || len(ids) > 200 {
			err = fmt.Errorf("%d subscriptions for %s minutes", len(ids), parts["ConnectionTimeout"].text)
		}
	}
	if err != nil {
		s.t.Errorf("the schema forbids it: %v", err)
		s.fault(w, "ErrorSchemaValidation")
		return
	}
	wake := make(chan struct{}, 1)
	var lost string
	s.mu.Lock()
	r.Mailboxes = nil
	for _, id := range ids {
		if sub := s.subs[id]; sub != nil {
			sub.wake = wake
			r.Mailboxes = append(r.Mailboxes, sub.box)
		} else {
			lost += "<m:SubscriptionId>" + id + "</m:SubscriptionId>"
		}
	}
	s.Requests = append(s.Requests, r)
	s.mu.Unlock()
	tell := func(class, code, inner string) {
		_, _ = io.WriteString(w, head+`<m:GetStreamingEventsResponse xmlns:m="`+messages+`" xmlns:t="`+typesNS+`"><m:ResponseMessages><m:GetStreamingEventsResponseMessage ResponseClass="`+class+`">`+
			`<m:ResponseCode>`+code+`</m:ResponseCode>`+inner+`</m:GetStreamingEventsResponseMessage></m:ResponseMessages></m:GetStreamingEventsResponse>`+foot)
		_ = http.NewResponseController(w).Flush()
	}
	if lost != "" {
		tell("Error", "ErrorSubscriptionNotFound", "<m:ErrorSubscriptionIds>"+lost+"</m:ErrorSubscriptionIds><m:ConnectionStatus>Closed</m:ConnectionStatus>")
		return
	}
	tell("Success", "NoError", "<m:ConnectionStatus>OK</m:ConnectionStatus>")
	for {
		inner, gone := s.happened(ids)
		if inner != "" {
			tell("Success", "NoError", "<m:Notifications>"+inner+"</m:Notifications>")
		}
		if gone {
			tell("Success", "NoError", "<m:ConnectionStatus>Closed</m:ConnectionStatus>")
			return
		}
		select {
		case <-wake:
		case <-s.ended:
			return
		case <-hr.Context().Done():
			return
		}
	}
}

// happened takes what there is to tell, and reports whether subscriptions were lost.
func (s *Server) happened(ids []string) (inner string, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		sub := s.subs[id]
		if sub == nil {
			gone = true
			continue
		}
		if sub.events == 0 {
			continue
		}
		item := `<t:TimeStamp>2026-03-02T12:00:00Z</t:TimeStamp><t:ItemId Id="AAMk" ChangeKey="CQ"/><t:ParentFolderId Id="AQMk" ChangeKey="AQ"/>`
		inner += `<m:Notification><t:SubscriptionId>` + id + `</t:SubscriptionId>` + strings.Repeat(`<t:CreatedEvent>`+item+`</t:CreatedEvent><t:FreeBusyChangedEvent>`+item+`</t:FreeBusyChangedEvent>`, sub.events) + `</m:Notification>`
		sub.events = 0
	}
	return inner, gone
}
