package session

// Load is how much frames are: their size, and the number and size of those
// that count for the bound on what a client leaves waiting. What was kept while
// the client was away does not: it comes all at once, and is bounded where it is
// kept.
type Load struct{ Bytes, Live, LiveBytes int }

// LoadOf adds up frames.
func LoadOf(frames []Frame) (l Load) {
	for i := range frames {
		n := len(frames[i].Bytes)
		l.Bytes += n
		if st := frames[i].Stanza; st == nil || !st.Kept {
			l.Live++
			l.LiveBytes += n
		}
	}
	return l
}

// Plus returns the sum.
func (l Load) Plus(o Load) Load {
	return Load{l.Bytes + o.Bytes, l.Live + o.Live, l.LiveBytes + o.LiveBytes}
}

// Minus returns the difference.
func (l Load) Minus(o Load) Load {
	return Load{l.Bytes - o.Bytes, l.Live - o.Live, l.LiveBytes - o.LiveBytes}
}

// Fits reports whether more may wait beside what does, with so many frames and
// bytes at most.
func (l Load) Fits(more Load, frames, bytes int) bool {
	return more.Live == 0 || l.Live+more.Live <= frames && l.LiveBytes+more.LiveBytes <= bytes
}
