package configs

import "testing"

func TestBounds(t *testing.T) {
	for _, f := range fields {
		cfg := Default()
		v := f.in(&cfg)
		if (f.min == "") != (f.max == "") {
			t.Errorf("%s has one bound only", f.path)
		}
		if f.min == "" {
			continue
		}
		if err := decode(v, f.min, true); err != nil {
			t.Errorf("%s: lower bound %v", f.path, err)
		}
		if err := decode(v, f.max, true); err != nil {
			t.Errorf("%s: upper bound %v", f.path, err)
		}
		if bound(v, f.min) >= bound(v, f.max) {
			t.Errorf("%s: bounds %s and %s are the wrong way round", f.path, f.min, f.max)
		}
	}
}
