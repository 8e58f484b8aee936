package main

import "testing"

// TestCompose has each row of the documentation's table, and what stands above it.
func TestCompose(t *testing.T) {
	t.Parallel()
	there := [facts]uint8{online: 1}
	with := func(base [facts]uint8, pairs ...uint8) [facts]uint8 {
		for k := 0; k < len(pairs); k += 2 {
			base[pairs[k]] = pairs[k+1]
		}
		return base
	}
	c, s, m, h, p, o := uint8(choice), uint8(client), uint8(slot), uint8(line), uint8(onTelephone), uint8(online)
	everything := with(there, s, saysDND, m, slotBusy, h, 1, p, 1)
	for _, tc := range []struct {
		name string
		in   [facts]uint8
		want state
	}{
		{"appears offline, row 1", with(everything, c, choseOffline), unavailable},
		{"chose dnd, row 2", with(everything, s, says, c, choseDND), dnd},
		{"the client says dnd, row 2", with(everything, c, choseBusy), dnd},
		{"a call, row 3", with(there, h, 1, m, slotBusy, c, choseBusy, s, saysAway), onThePhone},
		{"a call of the telephone, row 3", with(there, p, 1, m, slotBusy, c, choseAway), onThePhone},
		{"a meeting, row 4", with(there, m, slotBusy, c, choseXA), inAMeeting},
		{"chose busy, row 5", with(there, c, choseBusy, m, slotOut, s, saysAway), busy},
		{"chose away, row 5", with(there, c, choseAway, m, slotOut), away},
		{"chose xa, row 5", with(there, c, choseXA, m, slotOut), extendedAway},
		{"the client says away, row 5", with(there, s, saysAway, m, slotOut), away},
		{"the client says xa, row 5", with(there, s, saysXA, m, slotOut), extendedAway},
		{"out of office, row 6", with(there, m, slotOut, s, quietAway), outOfOffice},
		{"active, row 7", there, available},
		{"idle, row 8", with(there, s, quietAway), away},
		{"long idle, row 8", with(there, s, quietXA), extendedAway},
		{"nobody there, row 9", with(everything, o, 0), unavailable},
	} {
		if got := compose(tc.in); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}
