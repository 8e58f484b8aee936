package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table writes rows in columns.
type table struct{ w io.Writer }

func (t *table) row(columns ...string) {
	for i, c := range columns {
		columns[i] = oneLine(c)
	}
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(columns, "\t"), "\t")) // Flush returns the error
}

// oneLine keeps a value from breaking the lines or steering the terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0:
			return '\ufffd'
		}
		return r
	}, text)
}

// print writes v as JSON if so asked, else what rows makes.
func (c *cli) print(v any, rows func(*table)) error {
	if c.json {
		return c.printJSON(v)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	rows(&table{w})
	return w.Flush()
}

func (c *cli) printJSON(v any) error {
	encoder := json.NewEncoder(c.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
