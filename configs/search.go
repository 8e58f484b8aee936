package configs

import "strings"

// Search is how users find each other.
type Search struct {
	Enabled    string `key:"enabled" one:"auto on off"`                // auto = where there are people to search
	Local      bool   `key:"local"`                                    // local accounts can be found
	MaxResults int    `key:"max_results" min:"1" max:"200" live:"yes"` // people in one answer
	MinLength  int    `key:"min_length" min:"1" max:"10" live:"yes"`   // letters typed before anybody is found
	Unit       string `key:"unit" live:"yes"`                          // a DN: only people at or below it; "" = all
	Rate       int    `key:"rate" min:"10" max:"1000000" live:"yes"`   // searches of one user in a minute
}

func (l *loader) checkSearch() {
	unit := l.cfg.Search.Unit
	if unit != "" && !strings.Contains(unit, "=") {
		l.add("search.unit", "%q is no DN such as OU=Agents,DC=example,DC=com", unit)
	}
}
