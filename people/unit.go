package people

import "strings"

// BelowUnit reports whether a DN (RFC 4514) is base or below it. Case, accents
// and blanks around the parts do not count.
func BelowUnit(dn, base string) bool { return below(foldDN(dn), foldDN(base)) }

func below(dn, base string) bool {
	if base == "" || dn == base {
		return true
	}
	rest, ok := strings.CutSuffix(dn, base)
	if !ok || !strings.HasSuffix(rest, ",") {
		return false
	}
	// A comma behind an odd number of backslashes is a part of a value.
	rest = rest[:len(rest)-1]
	return (len(rest)-len(strings.TrimRight(rest, `\`)))%2 == 0
}

func foldDN(dn string) string {
	var b strings.Builder
	blanks := 0
	for _, r := range fold(strings.TrimSpace(dn)) {
		switch r {
		case ' ':
			blanks++
			continue
		case ',', '=', ';':
			blanks = 0
			if r == ';' {
				r = ','
			}
		default:
			if blanks > 0 && b.Len() > 0 && !strings.HasSuffix(b.String(), ",") && !strings.HasSuffix(b.String(), "=") {
				b.WriteString(strings.Repeat(" ", blanks))
			}
			blanks = 0
		}
		b.WriteRune(r)
	}
	return b.String()
}

// setUnits folds the names of all units once.
func (s *shard) setUnits() {
	s.unitNames = map[uint32]string{}
	for _, u := range s.units {
		if _, ok := s.unitNames[u]; !ok {
			s.unitNames[u] = foldDN(s.shared[u])
		}
	}
}

// unitsKept bounds the answers of below that are kept.
const unitsKept = 16

// below tells for each shared text whether it is a unit at or below base.
func (s *shard) below(base string) []bool {
	s.unitsMu.Lock()
	defer s.unitsMu.Unlock()
	if known, ok := s.unitsBelow[base]; ok {
		return known
	}
	is := make([]bool, len(s.shared))
	folded := foldDN(base)
	for u, dn := range s.unitNames {
		is[u] = below(dn, folded)
	}
	if len(s.unitsBelow) >= unitsKept || s.unitsBelow == nil {
		s.unitsBelow = map[string][]bool{}
	}
	s.unitsBelow[base] = is
	return is
}
