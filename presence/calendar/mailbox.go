package calendar

import (
	"errors"
	"strings"
	"unicode"

	"github.com/deskline/deskline/xmpp/jid"
)

const maxAddress = 320 // RFC 3696 §3

// Having asks for the calendars of those alone who have a mailbox; all others get a
// failure of their own.
func Having(asks []Ask, mailbox func(jid.JID) string, fetch func(asks []Ask, boxes []string) ([]Result, error)) ([]Result, error) {
	results := make([]Result, len(asks))
	var some []Ask
	var boxes []string
	var at []int
	for i, a := range asks {
		box := mailbox(a.User)
		if box == "" || len(box) > maxAddress || !strings.Contains(box, "@") || strings.ContainsFunc(box, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
			results[i].Err = &Failure{Err: errors.New("no mail address of the user is known"), Own: true}
			continue
		}
		some, boxes, at = append(some, a), append(boxes, box), append(at, i)
	}
	if len(some) == 0 {
		return results, nil
	}
	had, err := fetch(some, boxes)
	if err != nil {
		return nil, err
	}
	for i, r := range had {
		results[at[i]] = r
	}
	return results, nil
}
