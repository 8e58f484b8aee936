// Package pbx is what sources of evidence at telephone switches have in common: the
// board of their lines, whose they are, for how long something is believed, and a
// connection that is made again for as long as the node runs.
//
//	s := pbx.New(pbx.Config{Name: "asterisk:main", Talk: client.Talk, Lines: lineMap, …})
//	err := presence.RunSource(ctx, s)
//
// What one switch speaks is the business of the packages beside this one. Each has a
// Talk, which says to a [Board] what it hears: the full picture first, then changes,
// and each sign of life of the switch. Only these make evidence last, so that nobody is on the
// phone for ever at a switch that is dead or hangs.
package pbx
