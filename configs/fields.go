package configs

import (
	"reflect"
	"strings"
)

// field is one key of the configuration.
type field struct {
	path     string // bosh.wait
	min, max string
	one      []string
	live     bool
	index    []int // in Config
}

// env is the name of the environment variable of a path.
func env(path string) string {
	return "DESKLINE_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// fields are all keys in the order of the struct; sections the keys that hold
// others.
var fields, sections = walk(reflect.TypeFor[Config](), "", nil)

func walk(t reflect.Type, prefix string, index []int) (fields []field, sections []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		path := prefix + f.Tag.Get("key")
		at := append(append([]int(nil), index...), i)
		if f.Type.Kind() == reflect.Struct {
			inner, deeper := walk(f.Type, path+".", at)
			fields = append(fields, inner...)
			sections = append(append(sections, path), deeper...)
			continue
		}
		fields = append(fields, field{
			path: path,
			min:  f.Tag.Get("min"), max: f.Tag.Get("max"),
			one:  strings.Fields(f.Tag.Get("one")),
			live: f.Tag.Get("live") == "yes", index: at,
		})
	}
	return fields, sections
}

// in returns the value of the field in a configuration.
func (f field) in(cfg *Config) reflect.Value {
	return reflect.ValueOf(cfg).Elem().FieldByIndex(f.index)
}

// secret reports whether the field has a variant with _file.
func (f field) secret() bool {
	return reflect.TypeFor[Config]().FieldByIndex(f.index).Type == reflect.TypeFor[Secret]()
}

// fileSuffix is behind the key of a secret that is read from a file.
const fileSuffix = "_file"

// keys are the paths that a file may have, without sections.
func keys() []string {
	all := make([]string, 0, len(fields))
	for _, f := range fields {
		all = append(all, f.path)
		if f.secret() {
			all = append(all, f.path+fileSuffix)
		}
	}
	return all
}
