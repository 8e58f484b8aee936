package ews

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/deskline/deskline/presence/calendar"
)

// discoverable is how many mailboxes are asked for at once.
const discoverable = 100

const discovery = `<?xml version="1.0" encoding="utf-8"?>` +
	`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wsa="http://www.w3.org/2005/08/addressing" xmlns:a="http://schemas.microsoft.com/exchange/2010/Autodiscover">` +
	`<soap:Header><a:RequestedServerVersion>Exchange2013</a:RequestedServerVersion>` +
	`<wsa:Action>http://schemas.microsoft.com/exchange/2010/Autodiscover/Autodiscover/GetUserSettings</wsa:Action><wsa:To>%s</wsa:To></soap:Header>` +
	`<soap:Body><a:GetUserSettingsRequestMessage><a:Request><a:Users>%s</a:Users><a:RequestedSettings><a:Setting>ExternalEwsUrl</a:Setting><a:Setting>GroupingInformation</a:Setting></a:RequestedSettings>` +
	`</a:Request></a:GetUserSettingsRequestMessage></soap:Body></soap:Envelope>`

// discovered is the answer.
type discovered struct {
	Code  string `xml:"Response>ErrorCode"`
	Users []struct {
		Code     string `xml:"ErrorCode"`
		Settings []struct {
			Name  string `xml:"Name"`
			Value string `xml:"Value"`
		} `xml:"UserSettings>UserSetting"`
	} `xml:"Response>UserResponses>UserResponse"`
}

// newDiscoverer is a line to the service that says which server holds a mailbox.
func (s *Source) newDiscoverer() *line {
	l := s.newLine(nil)
	if u, err := url.Parse(s.c.URL); err == nil {
		u.Path, u.RawPath, u.RawQuery = "/autodiscover/autodiscover.svc", "", ""
		l.url = u.String()
	}
	return l
}

// groupings says of each mailbox which others are held by the same server: those with the
// same text. Of mailboxes of which it is not known it is "".
func (s *Source) groupings(ctx context.Context, l *line, boxes []string) ([]string, error) {
	timed, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	var users strings.Builder
	for _, box := range boxes {
		users.WriteString(`<a:User><a:Mailbox>` + escape(box) + `</a:Mailbox></a:User>`)
	}
	resp, err := s.send(timed, l, fmt.Sprintf(discovery, escape(l.url), users.String()))
	if err != nil {
		return nil, err
	}
	defer drain(resp)
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("autodiscover: the server says %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return readGroupings(calendar.Limit(resp.Body, maxPart), len(boxes))
}

const maxGrouping = 1024

func readGroupings(body io.Reader, n int) ([]string, error) {
	var answer discovered
	if err := newParts(body).named("http://schemas.microsoft.com/exchange/2010/Autodiscover", "GetUserSettingsResponseMessage", &answer); err != nil {
		return nil, fmt.Errorf("autodiscover: %w", err)
	}
	if answer.Code != "NoError" || len(answer.Users) != n {
		return nil, fmt.Errorf("autodiscover: the server says %s, of %d of %d mailboxes", calendar.Brief(answer.Code, 80), len(answer.Users), n)
	}
	list := make([]string, n)
	for i, u := range answer.Users {
		place, group := "", ""
		for _, one := range u.Settings {
			switch one.Name {
			case "ExternalEwsUrl":
				place = one.Value
			case "GroupingInformation":
				group = one.Value
			}
		}
		if u.Code == "NoError" && group != "" && len(place)+len(group) < maxGrouping {
			list[i] = place + " " + group
		}
	}
	return list, nil
}
