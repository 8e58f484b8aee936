package exchangetest

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const autodiscover = "http://schemas.microsoft.com/exchange/2010/Autodiscover"

// discover is GetUserSettings of SOAP Autodiscover.
func (s *Server) discover(w http.ResponseWriter, text string) {
	root, err := tree(text)
	var users, settings []*node
	if err == nil {
		users, settings, err = readDiscovery(root)
	}
	if err != nil {
		s.t.Errorf("the schema forbids it: %v\n%s", err, text)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Grouping == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var b strings.Builder
	for _, u := range users {
		group, ok := s.Grouping[strings.ToLower(u.inner[0].text)]
		if !ok {
			b.WriteString(`<UserResponse><ErrorCode>InvalidUser</ErrorCode><ErrorMessage>Invalid user.</ErrorMessage></UserResponse>`)
			continue
		}
		b.WriteString(`<UserResponse><ErrorCode>NoError</ErrorCode><ErrorMessage>No error.</ErrorMessage><RedirectTarget i:nil="true"/><UserSettingErrors/><UserSettings>`)
		for _, one := range settings {
			value := map[string]string{"ExternalEwsUrl": s.Address(), "GroupingInformation": group}[one.text]
			fmt.Fprintf(&b, `<UserSetting i:type="StringSetting"><Name>%s</Name><Value>%s</Value></UserSetting>`, one.text, value)
		}
		b.WriteString(`</UserSettings></UserResponse>`)
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = io.WriteString(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><GetUserSettingsResponseMessage xmlns="`+autodiscover+`"><Response xmlns:i="http://www.w3.org/2001/XMLSchema-instance">`+
		`<ErrorCode>NoError</ErrorCode><ErrorMessage/><UserResponses>`+b.String()+`</UserResponses></Response></GetUserSettingsResponseMessage></s:Body></s:Envelope>`)
}

func readDiscovery(root *node) (users, settings []*node, err error) {
	parts, err := root.sequence(soap, "Header", "Body")
	if err != nil {
		return nil, nil, err
	}
	seen := map[xml.Name]string{}
	for _, h := range parts["Header"].inner {
		seen[h.name] = h.text
	}
	const wsa = "http://www.w3.org/2005/08/addressing"
	if seen[xml.Name{Space: autodiscover, Local: "RequestedServerVersion"}] == "" || seen[xml.Name{Space: wsa, Local: "To"}] == "" ||
		seen[xml.Name{Space: wsa, Local: "Action"}] != autodiscover+"/Autodiscover/GetUserSettings" {
		return nil, nil, fmt.Errorf("headers %v", seen)
	}
	n := parts["Body"]
	for _, name := range []string{"GetUserSettingsRequestMessage", "Request"} {
		inner, err := n.sequence(autodiscover, name)
		if err != nil {
			return nil, nil, err
		}
		n = inner[name]
	}
	if parts, err = n.sequence(autodiscover, "Users", "RequestedSettings"); err != nil {
		return nil, nil, err
	}
	users, settings = parts["Users"].inner, parts["RequestedSettings"].inner
	for _, u := range users {
		if _, err := u.sequence(autodiscover, "Mailbox"); err != nil || u.name.Local != "User" {
			return nil, nil, fmt.Errorf("user %v: %w", u.name, err)
		}
	}
	if len(users) == 0 || len(users) > 100 {
		return nil, nil, fmt.Errorf("%d users", len(users))
	}
	return users, settings, nil
}
