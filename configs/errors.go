package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong.
type Problem struct {
	Key    string // bosh.wait
	Reason string // 3h is above 10m
	Source string // line 7, or the environment variable; "" if neither
}

// String writes the problem as one line.
func (p Problem) String() string {
	text := p.Reason
	if p.Key != "" {
		text = p.Key + ": " + text
	}
	if p.Source != "" {
		text += " (" + p.Source + ")"
	}
	return text
}

// Error is all that is wrong with a configuration.
type Error struct {
	File     string // "" if it did not come from one
	Problems []Problem
}

// Error implements error, one line of text for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
		if e.File != "" {
			lines[i] = e.File + ": " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// collector gathers problems.
type collector struct {
	problems []Problem
	lines    map[string]int // of the keys in the file
}

func (c *collector) add(key, format string, args ...any) {
	c.problems = append(c.problems, Problem{Key: key, Reason: fmt.Sprintf(format, args...)})
}

func (c *collector) has(key string) bool {
	return slices.ContainsFunc(c.problems, func(p Problem) bool { return p.Key == key })
}

// err returns nil or an *Error with the place of each problem.
func (c *collector) err(fromEnv map[string]bool) error {
	if len(c.problems) == 0 {
		return nil
	}
	for i, p := range c.problems {
		switch line := c.lines[p.Key]; {
		case p.Source != "":
		case fromEnv[p.Key]:
			c.problems[i].Source = env(p.Key)
		case line > 0:
			c.problems[i].Source = fmt.Sprintf("line %d", line)
		}
	}
	return &Error{Problems: c.problems}
}

// meant returns the candidate that somebody who wrote key may have meant, as
// ", did you mean …?", or "".
func meant(key string, candidates []string) string {
	if len(key) > 64 {
		return ""
	}
	best, least := "", max(2, len(key)/4)+1
	for _, c := range candidates {
		d := distance(strings.ToLower(key), strings.ToLower(c))
		if strings.EqualFold(lastPart(c), lastPart(key)) {
			d = min(d, 1) // the right key in the wrong section
		}
		if d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + best + "?"
}

func lastPart(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// distance is the number of letters to add, remove, change or swap with the
// next one.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			rows[i][j] = min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// sorted orders problems by their key, those of the file's form first.
func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Key, b.Key) })
	return problems
}
