package people

// For tests.
var (
	Fold        = fold
	FoldSpelled = foldSpelled
)

// Prefixes are what a term is looked up by.
func (t Term) Prefixes() []string { return t.prefixes }

// SetSizes makes parts small, and returns what undoes it.
func SetSizes(part, delta, heavy int) (undo func()) {
	p, d, h := partSize, maxDelta, heavyLeast
	partSize, maxDelta, heavyLeast = part, delta, heavy
	return func() { partSize, maxDelta, heavyLeast = p, d, h }
}

// Parts tells how many parts there are.
func (x *Index) Parts() (n int) {
	for _, l := range *x.state.Load() {
		n += len(l.parts)
	}
	return n
}
