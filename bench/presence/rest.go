package main

import (
	"fmt"
	"strings"
)

// turn begins a row. Who is stuck stays so, and is told of once.
func (b *book) turn(r *row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row, b.told = r, nil
}

// stories are those of the row.
func (b *book) stories() []*story {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told
}

// unexplained are people who are stuck, about whom the nodes were not asked yet.
func (b *book) unexplained() []*story {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.open
	b.open = nil
	return all
}

func (b *book) explain(s *story, texts []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.nodes = texts
}

// stable reports whether all is certain, and whoever does not see it is booked as stuck.
func (b *book) stable() bool { return b.unrest() == "" }

// unrest says who is not certain or not seen yet, and not stuck.
func (b *book) unrest() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var text strings.Builder
	for j, p := range b.people {
		is, _, ok := p.certain()
		if !ok {
			fmt.Fprintf(&text, " u%d may be %s;", j, p.now().set)
			continue
		}
		for i := range b.views {
			if v := b.views[i][j]; v != nil && v.on && v.seen != is && v.stuck == nil {
				fmt.Fprintf(&text, " u%d sees u%d as %s, not %s;", i, j, v.seen, is)
			}
		}
	}
	return text.String()
}
