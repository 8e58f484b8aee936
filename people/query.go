package people

import (
	"errors"
	"slices"
	"strings"
)

// Bounds of what is typed.
const (
	MaxQueryBytes = 256
	MaxQueryWords = 8
)

var (
	// ErrQueryLong says that more than MaxQueryBytes were typed.
	ErrQueryLong = errors.New("the text to search for is too long")
	// ErrQueryWords says that more than MaxQueryWords were typed.
	ErrQueryWords = errors.New("there are too many words to search for")
)

// Term is one word typed, perhaps not to its end: a person has it if one of
// their words in the fields begins with it.
type Term struct {
	in       Field
	prefixes []string // ways to write it; none = nobody has it
}

// ParseQuery reads what somebody types into a field for all of the given
// properties. Every word has to be found; a * at the end of a word is let go
// of, since every word may go on anyway, and nothing else has a meaning. Numbers
// one behind the other are one telephone number, an address is one word.
func ParseQuery(text string, in Field) ([]Term, error) {
	if len(text) > MaxQueryBytes {
		return nil, ErrQueryLong
	}
	var terms []Term
	chunks := strings.Fields(text)
	for i := 0; i < len(chunks); {
		n := numbers(chunks[i:])
		switch chunk := strings.TrimRight(chunks[i], "*"); {
		case n > 0:
			terms = append(terms, numberTerm(chunks[i:i+n], in))
		case strings.Contains(strings.TrimPrefix(chunk, "@"), "@"):
			terms = append(terms, addressTerm(chunk, in))
		default:
			terms = append(terms, wordTerms(chunk, in)...)
		}
		i += max(n, 1)
	}
	return join(nil, terms)
}

// join adds terms that are not there yet.
func join(all, more []Term) ([]Term, error) {
	for _, t := range more {
		if !slices.ContainsFunc(all, t.equal) {
			all = append(all, t)
		}
	}
	if len(all) > MaxQueryWords {
		return nil, ErrQueryWords
	}
	return all, nil
}

// JoinTerms puts together what was typed into several fields.
func JoinTerms(parts ...[]Term) ([]Term, error) {
	var all []Term
	var err error
	for _, p := range parts {
		if all, err = join(all, p); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (t Term) equal(o Term) bool { return t.in == o.in && slices.Equal(t.prefixes, o.prefixes) }

// numbers counts the chunks at the beginning that can be parts of a telephone
// number.
func numbers(chunks []string) int {
	digit := false
	for n, c := range chunks {
		if strings.Trim(strings.TrimRight(c, "*"), "0123456789+-–()/.") != "" {
			chunks = chunks[:n]
			break
		}
		digit = digit || digits(c) != ""
	}
	if !digit {
		return 0
	}
	return len(chunks)
}

// numberTerm is a telephone number or, if it is written in one, any word of
// digits.
func numberTerm(chunks []string, in Field) Term {
	t := Term{in: in}
	text := strings.Join(chunks, " ")
	if in&FieldPhone != 0 {
		t.prefixes = phonePrefixes(text)
	}
	if word := digits(text); len(chunks) == 1 && word == strings.TrimRight(text, "*") {
		t.prefixes = append(t.prefixes, word)
	}
	return t
}

func addressTerm(chunk string, in Field) Term {
	for _, scheme := range []string{"xmpp:", "mailto:", "sip:", "im:"} {
		chunk = strings.TrimPrefix(chunk, scheme)
	}
	return Term{in: in & (FieldMail | FieldAddress | FieldID), prefixes: []string{fold(chunk)}}
}

func wordTerms(chunk string, in Field) []Term {
	var terms []Term
	if in == FieldPhone { // letters in a number
		if d := phonePrefixes(chunk); d != nil {
			return []Term{{in: in, prefixes: d}}
		}
	}
	eachWord(fold(chunk), func(w string) { terms = append(terms, Term{in, []string{w}}) })
	i := 0
	eachWord(foldSpelled(chunk), func(w string) {
		if i < len(terms) && terms[i].prefixes[0] != w {
			terms[i].prefixes = append(terms[i].prefixes, w)
		}
		i++
	})
	return terms
}
