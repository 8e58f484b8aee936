package innovaphone

import (
	"testing"

	"github.com/deskline/deskline/presence"
)

// TestDigest has the example of the documentation.
func TestDigest(t *testing.T) {
	if got := digest("pbxadminapi", "0123456789abcdef", "pwd"); got != "a205299ed2ef2786c311e0be1b14db343f2cadd906a6ae7b564eee34bda5e9a1" {
		t.Error(got)
	}
}

func TestJudge(t *testing.T) {
	for name, tt := range map[string]struct {
		items []item
		want  presence.Line
	}{
		"nothing":               {nil, presence.LineUnknown},
		"a client alone":        {[]item{{"im:", "open", ""}}, presence.LineUnknown},
		"a client that is busy": {[]item{{"im:", "open", "busy"}, {"tel:", "open", ""}}, presence.LineIdle},
		"a telephone":           {[]item{{"tel:", "open", ""}}, presence.LineIdle},
		"none registered":       {[]item{{"tel:", "closed", ""}}, presence.LineUnknown},
		"a call":                {[]item{{"tel:", "open", "on-the-phone"}}, presence.LineInCall},
		"a call at a client":    {[]item{{"tel:", "open", ""}, {"im:", "open", "On-The-Phone"}}, presence.LineInCall},
		"busy":                  {[]item{{"tel:", "open", "busy"}}, presence.LineInCall},
		"in a meeting":          {[]item{{"im:", "open", "meeting"}, {"tel:", "open", ""}}, presence.LineIdle},
	} {
		if got := judge(tt.items); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"api":"PbxApi","mt":"PresenceUpdate","src":"1","presence":[{"contact":"tel:","status":"open","activity":"on-the-phone","note":"x"}]}`))
	f.Add([]byte(`{"mt":"AppChallengeResult","challenge":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parse(data); err == nil {
			judge(m.Presence)
		} else if len(err.Error()) > 300 {
			t.Error(err)
		}
	})
}
