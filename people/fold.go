package people

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// letters have no decomposition in Unicode, but a spelling that people type in
// their place.
var letters = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'đ': "d", 'ð': "d", 'þ': "th", 'ł': "l",
	'ħ': "h", 'ı': "i", 'ĸ': "k", 'ŋ': "n", 'ŧ': "t", 'ƒ': "f", 'ƶ': "z", 'ə': "e", 'ɨ': "i",
}

// spelled are letters with the second way of writing them without their marks:
// Müller is typed Muller by some and Mueller by others.
var spelled = map[rune]string{'ä': "ae", 'ö': "oe", 'ü': "ue", 'ø': "oe", 'å': "aa"}

// fold writes text as it is compared: without case, accents, width and
// ligatures.
func fold(text string) string {
	if plain(text) {
		return strings.ToLower(text)
	}
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(text, "")) {
		if unicode.Is(unicode.Mn, r) {
			continue
		}
		r = lower(r)
		if s, ok := letters[r]; ok {
			b.WriteString(s)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// foldSpelled is fold with the letters of spelled written out; the same as fold
// for a text without them.
func foldSpelled(text string) string {
	if plain(text) {
		return strings.ToLower(text)
	}
	text = norm.NFKC.String(text)
	var b strings.Builder
	for _, r := range text {
		if s, ok := spelled[lower(r)]; ok {
			b.WriteString(s)
			continue
		}
		b.WriteRune(r)
	}
	return fold(b.String())
}

// lower folds the case of one letter; by way of the capital, which the two
// small sigmas share.
func lower(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	return unicode.ToLower(unicode.ToUpper(r))
}

// plain reports whether text is ASCII.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// joins are written within a word: O'Brien is typed OBrien, too.
func joins(r rune) bool { return r == '\'' || r == '’' || r == 'ʼ' || r == '`' || r == '´' }

func inWord(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z'
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Mc, r)
}

// eachWord gives yield the words of a folded text, those joined by an apostrophe
// as one.
func eachWord(folded string, yield func(word string)) {
	start, joined := -1, false
	end := func(at int) {
		if start < 0 {
			return
		}
		if word := folded[start:at]; joined {
			if word = strings.Map(dropJoins, word); word != "" {
				yield(word)
			}
		} else {
			yield(word)
		}
		start, joined = -1, false
	}
	for i, r := range folded {
		switch {
		case inWord(r):
			if start < 0 {
				start = i
			}
		case joins(r) && start >= 0:
			joined = true
		default:
			end(i)
		}
	}
	end(len(folded))
}

func dropJoins(r rune) rune {
	if joins(r) {
		return -1
	}
	return r
}
