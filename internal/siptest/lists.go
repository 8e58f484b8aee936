package siptest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// listModules are what makes Kamailio a resource list server: rls subscribes to each
// member by pua at the presence server, which is the same Kamailio.
const listModules = `
loadmodule "pua.so"
loadmodule "rls.so"
modparam("pua|rls", "db_url", "text://DIR/db")
modparam("rls", "xcap_db_url", "text://DIR/db")
modparam("pua", "db_mode", 0)
modparam("pua|rls", "outbound_proxy", "sip:127.0.0.1:PORT")
modparam("rls", "server_address", "sip:rls@127.0.0.1:PORT")
modparam("rls", "integrated_xcap_server", 1)
modparam("rls", "to_presence_code", 5)
modparam("rls", "rls_event", "dialog")
modparam("rls", "waitn_time", 1)
modparam("rls", "max_notify_body_length", MOST)
`

const listRoute = `
	$var(code) = rls_handle_subscribe();
	if ($var(code) == 5) { handle_subscribe(); }
	exit;
	}
	if (is_method("NOTIFY")) { rls_handle_notify(); exit;
`

// KamailioLists starts a presence server that is a resource list server as well (RFC
// 4662): subscriber owns lists, by their users, of members that are users, too. A
// NOTIFY has at most so many bytes, 0 for any number.
func KamailioLists(t testing.TB, subscriber string, lists map[string][]string, most int) *Server {
	t.Helper()
	modules := strings.ReplaceAll(listModules, "MOST", fmt.Sprint(most))
	return kamailio(t, modules, listRoute, func(db string) {
		t.Helper()
		// RFC 4826, as an XCAP server keeps it.
		doc := `<?xml version="1.0" encoding="UTF-8"?><rls-services xmlns="urn:ietf:params:xml:ns:rls-services" xmlns:rl="urn:ietf:params:xml:ns:resource-lists">`
		for list, members := range lists {
			doc += `<service uri="sip:` + list + `@127.0.0.1"><list>`
			for _, m := range members {
				doc += `<rl:entry uri="sip:` + m + `@127.0.0.1"/>`
			}
			doc += `</list><packages><package>presence</package><package>dialog</package></packages></service>`
		}
		doc += `</rls-services>`
		const ofServices = 8 // the type of the document
		row := fmt.Sprintf("1:%s:127.0.0.1:%s:%d:a:0:/index:0\n", subscriber, strings.ReplaceAll(doc, ":", `\:`), ofServices)
		f, err := os.OpenFile(filepath.Join(db, "xcap"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }() // what matters is that it was written
		if _, err := f.WriteString(row); err != nil {
			t.Fatal(err)
		}
	})
}
