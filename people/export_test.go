package people

// For tests.
var (
	Fold        = fold
	FoldSpelled = foldSpelled
)

// Prefixes are what a term is looked up by.
func (t Term) Prefixes() []string { return t.prefixes }
