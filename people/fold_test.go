package people_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/deskline/deskline/people"
)

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"Anna": "anna", "ÀÉÎÕÜ": "aeiou", "Straße": "strasse", "STRAẞE": "strasse", "Øresund": "oresund", "Łódź": "lodz",
		"Ægir Œuvre": "aegir oeuvre", "Đorđe": "dorde", "Þór": "thor", "İstanbul ılık": "istanbul ilik",
		"Иван Йод": "иван иод", "ΑΝΔΡΈΑΣ ανδρέας": "ανδρεασ ανδρεασ", "Ａｎｎａ": "anna", "ﬁnn": "finn", "e\u0301cole": "ecole", "Nguyễn": "nguyen", "山田": "山田",
	} {
		if got := people.Fold(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"Müller": "mueller", "Bjørn Åse": "bjoern aase", "Anna": "anna", "Zoë": "zoe", "u\u0308ber": "ueber"} {
		if got := people.FoldSpelled(in); got != want {
			t.Errorf("spelled %q: %q, want %q", in, got, want)
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"Straße", "İ", "e\u0301\u0323", "ﷺ", "\xff\xfe", "ǅ", "\u1fb3\u0345"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := people.Fold(s)
		if twice := people.Fold(once); twice != once {
			t.Errorf("%q: %q, then %q", s, once, twice)
		}
		if utf8.ValidString(s) && !utf8.ValidString(once) {
			t.Errorf("%q: %q is no text", s, once)
		}
		// The longest decomposition in Unicode, of U+FDFA, has 18 letters.
		if len(once) > 18*utf8.UTFMax*(len(s)+1) {
			t.Errorf("%d bytes of %d", len(once), len(s))
		}
		if !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) && once != strings.ToLower(s) {
			t.Errorf("%q: %q", s, once)
		}
		people.FoldSpelled(s)
	})
}
