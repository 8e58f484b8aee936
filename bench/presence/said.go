package main

import "strconv"

// said names a fact for people.
func said(f fact, value uint8) string {
	texts := map[fact][]string{
		online: {"leaving", "coming"},
		client: {"the client's active", "the client's away", "the client's xa", "the client's dnd", "the client's idle away", "the client's idle xa"},
		choice: {"no choice", "the choice dnd", "the choice busy", "the choice away", "the choice extended-away", "the choice offline"},
		slot:   {"no meeting", "a meeting", "out of office"},
		line:   {"no call on the line", "a call on the line"}, onTelephone: {"no call on the telephone", "a call on the telephone"},
	}
	if all := texts[f]; int(value) < len(all) {
		return all[value]
	}
	return strconv.Itoa(int(f)) + "=" + strconv.Itoa(int(value))
}
