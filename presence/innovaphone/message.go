package innovaphone

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/deskline/deskline/presence"
)

// message is what a PBX says, as far as it matters here.
type message struct {
	Type string `json:"mt"`
	API  string `json:"api,omitempty"`
	Src  string `json:"src,omitempty"`

	Challenge string `json:"challenge,omitempty"`
	OK        bool   `json:"ok,omitempty"`
	Up        bool   `json:"up,omitempty"`
	Presence  []item `json:"presence,omitempty"`
}

// login is the sign-in of an app object, which is nobody's.
type login struct {
	Type   string `json:"mt"`
	App    string `json:"app"`
	Domain string `json:"domain"`
	SIP    string `json:"sip"`
	GUID   string `json:"guid"`
	DN     string `json:"dn"`
	Digest string `json:"digest"`
}

// subscription asks for the presence of one user.
type subscription struct {
	API  string `json:"api"`
	Type string `json:"mt"`
	Src  string `json:"src"`
	SIP  string `json:"sip,omitempty"`
	Num  string `json:"num,omitempty"`
}

// item is what one device or client of a user says.
type item struct {
	Contact  string `json:"contact"`
	Status   string `json:"status"`
	Activity string `json:"activity"`
}

func parse(data []byte) (message, error) {
	var m message
	if err := json.Unmarshal(data, &m); err != nil || m.Type == "" {
		return m, fmt.Errorf("this is no PBX of innovaphone: %.40q", data)
	}
	return m, nil
}

// digest is what a sign-in proves the password by.
func digest(app, challenge, password string) string {
	sum := sha256.Sum256([]byte(app + ":::::" + challenge + ":" + password))
	return hex.EncodeToString(sum[:])
}

// judge says what the line of a user does. Activities are those of RFC 4480; of what somebody has chosen to be, only
// what a telephone says counts.
func judge(all []item) presence.Line {
	state := presence.LineUnknown
	for _, i := range all {
		telephone := strings.HasPrefix(strings.ToLower(i.Contact), "tel:")
		switch activity := strings.ToLower(i.Activity); {
		case activity == "on-the-phone", telephone && activity == "busy":
			return presence.LineInCall
		case telephone && strings.EqualFold(i.Status, "open"): // it is registered
			state = presence.LineIdle
		}
	}
	return state
}

// MaxLines is how many lines one switch is asked for at most.
const MaxLines = 10_000

// Lines reads a list of lines: numbers, ranges of them such as 2100-2199, and names of users.
func Lines(list []string) ([]string, error) {
	var all []string
	seen := map[string]bool{}
	add := func(line string) error {
		if len(all) >= MaxLines {
			return fmt.Errorf("has more than %d lines", MaxLines)
		}
		if !seen[line] {
			seen[line] = true
			all = append(all, line)
		}
		return nil
	}
	for _, text := range list {
		text = strings.TrimSpace(text)
		from, to, isRange := strings.Cut(text, "-")
		a, err1 := strconv.ParseUint(from, 10, 62)
		b, err2 := strconv.ParseUint(to, 10, 62)
		if !isRange || err1 != nil || err2 != nil {
			if text == "" || len(text) > 128 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '@' }) {
				return nil, fmt.Errorf("%q is no number, range of numbers or name of a user", text)
			}
			if err := add(text); err != nil {
				return nil, err
			}
			continue
		}
		if len(from) != len(to) || b < a {
			return nil, fmt.Errorf("%q is no range such as 2100-2199", text)
		}
		for n := a; n <= b; n++ {
			if err := add(fmt.Sprintf("%0*d", len(from), n)); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// ask makes the subscription of a line.
func ask(src int, line string) subscription {
	s := subscription{API: "PbxApi", Type: "SubscribePresence", Src: strconv.Itoa(src)}
	if strings.Trim(line, "+0123456789*#") == "" {
		s.Num = line
	} else {
		s.SIP = line
	}
	return s
}
