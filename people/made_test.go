package people_test

import (
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

var (
	givenNames = []string{
		"Anna", "Andreas", "Andrea", "Björn", "Carla", "Çağla", "Daniel", "Élodie", "Friedrich", "Günther", "Hélène", "İpek", "Jürgen", "Karin", "Łukasz",
		"Maria", "Mario", "Martin", "Nadia", "Ola", "Peter", "Petra", "Quentin", "René", "Sören", "Søren", "Thomas", "Ute", "Víctor", "Wojciech", "Zoë", "Иван", "Ольга",
		"Alexander", "Alexandra", "Michael", "Michaela", "Stefan", "Stefanie", "Susanne", "Sabine", "Sandra", "Markus", "Julia", "Laura", "Sofia", "John", "James", "Mary",
	}
	starts  = []string{"Ber", "Schu", "Mü", "Mei", "Fisch", "Web", "Wag", "Beck", "Hoff", "Schä", "Koch", "Bau", "Rich", "Klein", "Wol", "Schrö", "Neu", "Schwar", "Zim", "Brau", "Krü", "Hart", "Lan", "Wer", "Krau", "Lehm", "O’Con", "Mac", "De La ", "Van den "}
	middles = []string{"", "mann", "er", "ler", "ing", "hau", "sen", "rich", "bach", "feld", "stein", "wald", "kamp", "ner"}
	ends    = []string{"", "er", "mann", "ström", "s", "sen", "ić", "ski", "ez", "i", "-Lang", " Jr.", "ß", "vogel", "thal"}
	titles  = []string{"Agent", "Senior Agent", "Supervisor", "Team Lead", "Expert", "Technician", "Manager", "Head of Service"}
	cities  = []string{"Berlin", "Hamburg", "München", "Köln", "Wien", "Zürich", "Paris", "Lyon", "Warszawa", "Gdańsk", "London", "Oslo"}
)

// made returns the same n people each time, who are as those of a large company
// with offices in several countries.
func made(n int, domain string) []people.Person {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	codes := []string{"+49 30", "+49 (0)40", "+49 89", "+43 1", "+41 44", "+33 1", "+48 22", "+44 20", "+47 22", "030", "0049 221"}
	all := make([]people.Person, n)
	for i := range all {
		given, family := pick(givenNames), pick(starts)+pick(middles)+pick(ends)
		city, dept := pick(cities), fmt.Sprintf("Service %d", r.IntN(400))
		id := fmt.Sprintf("u%06d", i)
		if i%2 == 0 {
			id = fmt.Sprintf("%c%s%d", 'a'+rune(i%26), asciiOf(family), i)
		}
		all[i] = people.Person{
			JID: jid.MustParse(id + "@" + domain), ID: fmt.Sprintf("%08x-4d2c-103f-9c7a-%012x", r.Uint32(), i),
			Name: given + " " + family, Given: given, Family: family,
			Mail:   []string{fmt.Sprintf("%s.%s%d@corp.%s", asciiOf(given), asciiOf(family), i, domain)},
			Phones: []string{fmt.Sprintf("%s %d-%04d", pick(codes), 100000+r.IntN(900000), i%10000)},
			Title:  pick(titles), Department: dept, Company: "Example Contact Centre Services Ltd.",
			Unit:    fmt.Sprintf("OU=%s,OU=%s,OU=People,DC=corp,DC=example,DC=com", dept, city),
			Enabled: true,
		}
		if i%3 == 0 {
			all[i].Phones = append(all[i].Phones, fmt.Sprintf("+49 17%d %d", i%10, 1000000+r.IntN(9000000)))
		}
	}
	return all
}

func asciiOf(s string) string {
	var out []byte
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case 'a' <= c && c <= 'z':
			out = append(out, c)
		case s[i] >= 0x80 && s[i] < 0xc0:
			out = append(out, 'x')
		}
	}
	return string(out)
}

// told is all people as a source tells of them.
func told(all []people.Person) iter.Seq2[people.Person, error] {
	return func(yield func(people.Person, error) bool) {
		for _, p := range all {
			if !yield(p, nil) {
				return
			}
		}
	}
}
