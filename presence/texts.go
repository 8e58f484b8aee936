package presence

// texts are in the order English, German, French, Spanish, Italian, Dutch.
var texts = map[Name][6]string{
	OnThePhone:   {"On the phone", "Am Telefon", "Au téléphone", "Al teléfono", "Al telefono", "Aan de telefoon"},
	InAMeeting:   {"In a meeting", "In einer Besprechung", "En réunion", "En una reunión", "In riunione", "In vergadering"},
	OutOfOffice:  {"Out of office", "Nicht im Büro", "Absent du bureau", "Fuera de la oficina", "Fuori ufficio", "Niet op kantoor"},
	DND:          {"Do not disturb", "Bitte nicht stören", "Ne pas déranger", "No molestar", "Non disturbare", "Niet storen"},
	Busy:         {"Busy", "Beschäftigt", "Occupé", "Ocupado", "Occupato", "Bezet"}, //nolint:misspell // Italian
	Away:         {"Away", "Abwesend", "Absent", "Ausente", "Assente", "Afwezig"},
	ExtendedAway: {"Away for longer", "Länger abwesend", "Absent pour longtemps", "Ausente por más tiempo", "Assente a lungo", "Langer afwezig"},
	Available:    {},
}

var languages = map[string]int{"en": 0, "de": 1, "fr": 2, "es": 3, "it": 4, "nl": 5}

// Texts returns what is shown in each state in a language; English if it is not
// known. The map is the caller's.
func Texts(language string) map[Name]string {
	all := make(map[Name]string, len(texts))
	for name, of := range texts {
		all[name] = of[languages[language]]
	}
	return all
}
