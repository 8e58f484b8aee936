//go:build asterisk

package asterisktest_test

import (
	"strings"
	"testing"

	"github.com/deskline/deskline/internal/asterisktest"
)

func TestStart(t *testing.T) {
	p := asterisktest.Start(t, asterisktest.Config{})
	p.Call("2001")
	p.Device("2002", "RINGING")
	if out := p.Command("core show hints"); !strings.Contains(out, "State:InUse") || !strings.Contains(out, "State:Ringing") {
		t.Error(out)
	}
}
