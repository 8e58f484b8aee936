package configs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/configuration.md anew")

// TestReference keeps the table of keys in the documentation true.
func TestReference(t *testing.T) {
	const begin, end = "<!-- keys: made by go test ./configs -run Reference -update -->\n", "<!-- end of keys -->\n"
	file := filepath.Join("..", "docs", "configuration.md")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the keys", file)
	}
	want := reference()
	switch {
	case old == want:
	case *update:
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: the table of keys is out of date; go test ./configs -run Reference -update", file)
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString("| key | default | allowed | while running |\n|---|---|---|---|\n")
	cfg := Default()
	for _, f := range fields {
		v := f.in(&cfg)
		row(&b, f.path, f, v, f.live)
		if isItems(v.Type()) {
			one := newItem(v.Type())
			for _, in := range itemFields(v.Type()) {
				row(&b, f.path+"[]."+in.path, in, one.FieldByIndex(in.index), f.live)
			}
		}
	}
	return b.String()
}

func row(b *strings.Builder, path string, f field, v reflect.Value, live bool) {
	allowed := kind(v)
	switch {
	case len(f.one) > 0:
		allowed = strings.Join(f.one, ", ")
	case f.min != "":
		allowed = f.min + " to " + f.max
	}
	running := ""
	if live {
		running = "yes"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", path, code(v), allowed, running)
}

func kind(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Slice:
		return "list"
	case v.Kind() == reflect.Bool:
		return "true, false"
	case v.Type() == reflect.TypeFor[Secret]():
		return "secret, also `_file`"
	}
	return "text"
}

func code(v reflect.Value) string {
	text := fmt.Sprint(encode(v))
	if list, ok := encode(v).([]string); ok {
		text = strings.Join(list, ", ")
	}
	if text == "" || v.Kind() == reflect.Slice && v.Len() == 0 {
		return ""
	}
	return "`" + text + "`"
}
