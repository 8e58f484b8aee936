package configs

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/deskline/deskline/presence/calendar"
)

// Exchange reports whether the calendar is in a mailbox of Microsoft's.
func (c Calendar) Exchange() bool { return c.Kind == "graph" || c.Kind == "ews" }

// OAuth reports whether the node signs in with a token.
func (c Calendar) OAuth() bool { return c.Kind == "graph" || c.Kind == "ews" && c.Auth == "oauth" }

// Address is where the calendars are: Graph has one for all.
func (c Calendar) Address() string {
	if c.Kind == "graph" && c.URL == "" {
		return "https://graph.microsoft.com/v1.0"
	}
	return c.URL
}

// Tokens is where access tokens are had.
func (c Calendar) Tokens() string {
	if c.TokenURL != "" {
		return c.TokenURL
	}
	return "https://login.microsoftonline.com/" + c.Tenant + "/oauth2/v2.0/token"
}

// Scope is what an access token is asked for: all that the application was granted at
// the address.
func (c Calendar) Scope() string {
	u, err := url.Parse(c.Address())
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + "/.default"
}

var tenant = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)

// checkExchange is for calendars in mailboxes.
func checkExchange(c Calendar, add func(name, text string, args ...any)) {
	switch {
	case c.Address() == "":
		add("url", "is missing, such as https://mail.example.com/EWS/Exchange.asmx")
	case strings.ContainsAny(c.Address(), "{}"):
		add("url", "is the same for all users; mailbox says which is whose")
	default:
		if err := calendar.CheckURL(c.Address(), c.Plain); err != nil {
			add("url", "%v", err)
		}
	}
	if own := strings.Contains(c.Mailbox, "{user}") || strings.Contains(c.Mailbox, "{jid}") || strings.Contains(c.Mailbox, "{mail}"); !own && len(c.Users) != 1 {
		add("mailbox", "has no {user}, {jid} or {mail}, so that all users would have the same one")
	}
	if c.AskAs != "" && !strings.Contains(c.AskAs, "@") {
		add("ask_as", "%q is no mail address", c.AskAs)
	}
	switch {
	case !slices.Contains([]string{"ntlm", "basic", "oauth"}, c.Auth):
		add("auth", "%q is none of ntlm, basic, oauth", c.Auth)
	case c.OAuth():
		checkClient(c, add)
	default:
		for name, value := range map[string]string{"username": c.Username, "password_file": c.PasswordFile} {
			if value == "" {
				add(name, "is missing, it is that of the service account")
			}
		}
		if strings.Contains(c.Username, "{") {
			add("username", "is of one service account, users' own are not known")
		}
	}
	if c.Kind == "ews" && c.Auth == "oauth" && c.AskAs == "" {
		add("ask_as", "is missing: an application has no mailbox, it impersonates one")
	}
}

// checkClient is for who asks for tokens.
func checkClient(c Calendar, add func(name, text string, args ...any)) {
	switch {
	case c.TokenURL != "" && c.Tenant != "":
		add("token_url", "tenant is set too")
	case c.TokenURL != "":
		if err := calendar.CheckURL(c.TokenURL, c.Plain); err != nil {
			add("token_url", "%v", err)
		}
	case c.Tenant == "":
		add("tenant", "is missing, such as example.onmicrosoft.com")
	case !tenant.MatchString(c.Tenant):
		add("tenant", "%q is neither a domain nor an id", c.Tenant)
	}
	if c.ClientID == "" {
		add("client_id", "is missing")
	}
	switch {
	case c.SecretFile != "" && c.CertFile != "":
		add("client_cert_file", "client_secret_file is set too")
	case c.SecretFile == "" && c.CertFile == "":
		add("client_secret_file", "is missing, or client_cert_file and client_key_file")
	case c.CertFile != "" && c.KeyFile == "":
		add("client_key_file", "is missing, it is that of client_cert_file")
	}
}

// checkCalendarKind tells of keys that would do nothing.
func checkCalendarKind(c Calendar, add func(name, text string, args ...any)) {
	for name, set := range map[string]bool{"username": c.Username != "", "password_file": c.PasswordFile != ""} {
		if set && c.OAuth() {
			add(name, "is not for sign-in by a token")
		}
	}
	if c.LoginsFile != "" && c.Exchange() {
		add("logins_file", "is for kinds ics and caldav")
	}
	if c.File != "" && c.Exchange() {
		add("file", "is for kind ics")
	}
	for name, value := range map[string]string{
		"tenant": c.Tenant, "token_url": c.TokenURL, "client_id": c.ClientID, "client_secret_file": c.SecretFile, "client_cert_file": c.CertFile, "client_key_file": c.KeyFile,
	} {
		if value != "" && !c.OAuth() {
			add(name, "is for kind graph, and for ews with auth: oauth")
		}
	}
	checkWatch(c, add)
	if !c.Exchange() && (c.AskAs != "" || c.Mailbox != "{jid}") {
		add("mailbox", "and ask_as are for kinds graph and ews")
	}
}

// notifyPath is where a node takes notifications of Microsoft 365.
const notifyPath = "/presence/v1/graph"

// checkWatch is for how changes are heard of.
func checkWatch(c Calendar, add func(name, text string, args ...any)) {
	const example = "such as https://chat.example.com" + notifyPath
	u, err := url.Parse(c.NotifyURL)
	switch {
	case c.Watch && !c.Exchange():
		add("watch", "is for kinds graph and ews")
	case c.NotifyURL != "" && c.Kind != "graph":
		add("notify_url", "is for kind graph")
	case c.NotifyURL != "" && !c.Watch:
		add("notify_url", "does nothing without watch: true")
	case !c.Watch || c.Kind != "graph":
	case c.NotifyURL == "":
		add("notify_url", "is missing: the address of this node on the internet, where Microsoft 365 tells of changes, "+example)
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		add("notify_url", "%q is no address, %s", c.NotifyURL, example)
	case u.Scheme != "https" && (u.Scheme != "http" || !c.Plain):
		add("notify_url", "%q is not https, which Microsoft 365 asks for", c.NotifyURL)
	case !strings.HasSuffix(u.Path, notifyPath):
		add("notify_url", "%q does not end in %s, where the node is told of changes", c.NotifyURL, notifyPath)
	}
}
