package deptest

import (
	"fmt"
	"slices"
	"strings"
)

// module is the path in front of the packages named below.
const module = "github.com/deskline/deskline/"

// tiers go from the bottom up. A package imports lower tiers only; a name with
// /... stands for the packages below it as well.
var tiers = [][]string{
	{"internal/..."},
	{"xmpp/..."},
	{"router", "people"},
	{"session", "roster", "presence", "offline", "auth", "vcard", "private", "account", "info", "search"},
	{"bosh", "websocket", "admin", "web", "certs/...", "cluster/...", "discovery", "ldap", "oauth", "presence/..."},
	{"store"},
	{"store/..."},
	{"configs"},
	{"app"},
	{"cmd/...", "bench/...", "test/..."},
}

// sideways are the imports within a tier that are allowed, from → to.
var sideways = map[string][]string{
	"xmpp/stanza":           {"xmpp/jid"},
	"xmpp/stream":           {"xmpp/jid", "xmpp/stanza"},
	"xmpp/sasl":             {"xmpp/jid", "xmpp/stanza"},
	"xmpp/mux":              {"xmpp/jid", "xmpp/stanza"},
	"cluster/...":           {"cluster/..."},
	"certs/...":             {"certs/..."},
	"bench/...":             {"bench/..."},
	"presence/calendar/...": {"presence/calendar/..."},
	"test/...":              {"test/..."},
	// What switches have in common.
	"presence/...": {"presence/pbx/..."},
}

// homes are the packages that may import a library, and why no others.
var homes = []struct {
	library string
	homes   []string
	reason  string
}{
	{"github.com/beevik/etree", append([]string{"xmpp/stanza", "xmpp/mux", "presence/sip"}, tiers[3]...), "stanzas are scanned by xmpp/stanza; only payloads of domain packages become trees, and documents that presence/sip patches"},
	{"github.com/spf13/viper", []string{"configs"}, "the configuration is read once into configs.Config"},
	{"go.yaml.in/yaml", []string{"configs"}, "the configuration is read once into configs.Config"},
	{"github.com/spf13/cobra", []string{"cmd/..."}, "flags end in cmd"},
	{"golang.org/x/term", []string{"cmd/..."}, "only commands have a terminal"},
	{"github.com/redis/go-redis", []string{"store/redis", "store/redis/live"}, "stores are interfaces to all others"},
	{"modernc.org/sqlite", []string{"store/sqlite"}, "stores are interfaces to all others"},
	{"database/sql", []string{"store/sqlite"}, "stores are interfaces to all others"},
	{"github.com/coder/websocket", []string{"websocket", "presence/innovaphone/...", "presence/ari/...", "presence/lines", "internal/xmpptest", "bench/..."}, "session knows no transport"},
	{"github.com/prometheus", []string{"admin", "app"}, "packages declare the counters they need as interfaces"},
	{"github.com/xdg-go", []string{"xmpp/sasl"}, "mechanisms live in xmpp/sasl"},
	{"github.com/go-ldap/ldap", []string{"ldap"}, "others see people, and auth.Directory"},
	{"github.com/go-asn1-ber", []string{"ldap"}, "it is the encoding of LDAP"},
	{"github.com/fsnotify/fsnotify", []string{"certs"}, "only certificates are watched"},
	{"github.com/go-jose", []string{"oauth"}, "others ask whose a token is"},
	{"github.com/caddyserver/certmagic", []string{"certs/acme"}, "others find the files that it leaves"},
	{"go.uber.org/zap", []string{"certs/acme"}, "log/slog is what all log with; certmagic wants to be given it"},
	{"github.com/emiago/sipgo", []string{"presence/sip"}, "others see evidence"},
	{"github.com/icholy/digest", []string{"presence/sip"}, "it is how SIP signs in"},
	{"github.com/Azure/go-ntlmssp", []string{"presence/calendar/ews"}, "only Exchange is signed in to by NTLM"},
	{"github.com/hashicorp/memberlist", []string{"cluster"}, "others see cluster.View"},
	{"github.com/teambition/rrule-go", nil, "it never ends for some rules; presence/calendar has its own, and asks this one in tests alone"},
	{"github.com/klauspost/compress", []string{"bosh", "web"}, "bodies are packed at the doors"},
}

// matches reports whether a package is meant by a pattern.
func matches(pattern, pkg string) bool {
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == root || strings.HasPrefix(pkg, root+"/")
	}
	return pkg == pattern
}

func anyMatches(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

// tier returns the height of a package, or -1 if it has none.
func tier(pkg string) int {
	return slices.IndexFunc(tiers, func(t []string) bool { return anyMatches(t, pkg) })
}

// forbidden returns why a package may not import another, or "".
func forbidden(pkg, imported string) string {
	inner, ours := strings.CutPrefix(imported, module)
	if !ours {
		return homeless(pkg, imported)
	}
	from, to := tier(pkg), tier(inner)
	switch {
	case to < 0:
		return inner + " has no tier, give it one in internal/deptest and ARCHITECTURE.md"
	case to < from:
		return ""
	case to > from:
		return fmt.Sprintf("%s is above %s: imports point down; declare an interface in %s and let app join them", inner, pkg, pkg)
	}
	for pattern, allowed := range sideways {
		if matches(pattern, pkg) && anyMatches(allowed, inner) {
			return ""
		}
	}
	return fmt.Sprintf("%s is beside %s: no imports within a tier; declare an interface in %s and let app join them", inner, pkg, pkg)
}

func homeless(pkg, library string) string {
	for _, h := range homes {
		if (library == h.library || strings.HasPrefix(library, h.library+"/")) && !anyMatches(h.homes, pkg) {
			return fmt.Sprintf("the home of %s is %s: %s", h.library, strings.Join(h.homes, ", "), h.reason)
		}
	}
	return ""
}

// badNames say nothing about what is in a package.
var badNames = []string{"pkg", "util", "utils", "common", "types", "helper", "helpers", "misc", "base", "shared"}

// badName returns the part of a package's path that is one of badNames, or "".
func badName(pkg string) string {
	for part := range strings.SplitSeq(pkg, "/") {
		if slices.Contains(badNames, part) {
			return part
		}
	}
	return ""
}
