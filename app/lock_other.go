//go:build !unix

package app

// lockStore cannot know here who uses a store.
func lockStore(string, bool) (release func() error, err error) {
	return func() error { return nil }, nil
}
