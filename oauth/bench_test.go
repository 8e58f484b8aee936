package oauth_test

import "testing"

func BenchmarkCheck(b *testing.B) {
	for _, key := range []string{"rsa", "ec", "ed"} {
		b.Run(makeKeys()[key].alg, func(b *testing.B) {
			p := newProvider(b, key)
			s, _ := run(b, p.issuer(nil))
			token := makeKeys()[key].token(b, nil, p.claims(nil))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Check(b.Context(), "example.com", token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
