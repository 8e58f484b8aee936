package configs

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Some keys hold a list of items that have keys themselves, such as auth.oauth.
// The path of such a key has the place in the list: auth.oauth[0].issuer. As an
// environment variable the whole list is YAML in one line.

// itemer makes an item with its defaults.
type itemer interface{ item() any }

// isItems reports whether a value is such a list.
func isItems(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Implements(reflect.TypeFor[itemer]())
}

// itemFields are the keys of an item.
func itemFields(list reflect.Type) []field {
	inner, _ := walk(list.Elem(), "", nil)
	return inner
}

func itemPath(list string, at int, name string) string {
	path := list + "[" + strconv.Itoa(at) + "]"
	if name != "" {
		path += "." + name
	}
	return path
}

// newItem returns an item with its defaults that can be set.
func newItem(list reflect.Type) reflect.Value {
	v := reflect.New(list.Elem()).Elem()
	v.Set(reflect.ValueOf(v.Interface().(itemer).item()))
	return v
}

// setItems reads such a list.
func (l *loader) setItems(path string, dst reflect.Value, raw any, fromEnv bool) {
	if text, ok := raw.(string); ok && fromEnv {
		raw = nil
		if err := yaml.Unmarshal([]byte(text), &raw); err != nil {
			l.add(path, "no YAML: %s", strings.ReplaceAll(err.Error(), "\n", " "))
			return
		}
	}
	items, ok := raw.([]any)
	if !ok {
		l.add(path, "is no list, begin each item with a dash")
		return
	}
	list := reflect.Zero(dst.Type())
	for i, one := range items {
		keys, ok := one.(map[string]any)
		if !ok {
			l.add(itemPath(path, i, ""), "has no keys")
			continue
		}
		list = reflect.Append(list, l.item(path, i, dst.Type(), keys))
	}
	dst.Set(list)
}

func (l *loader) item(path string, at int, list reflect.Type, keys map[string]any) reflect.Value {
	v := newItem(list)
	all := itemFields(list)
	for name := range keys {
		if !slices.ContainsFunc(all, func(f field) bool { return f.path == name }) {
			l.addUnknownItem(path, at, name, all)
		}
	}
	for _, f := range all {
		if one, ok := keys[f.path]; ok && one != nil {
			if err := decode(v.FieldByIndex(f.index), one, false); err != nil {
				l.add(itemPath(path, at, f.path), "%v", err)
			}
		}
	}
	return v
}

func (l *loader) addUnknownItem(path string, at int, name string, all []field) {
	key := itemPath(path, at, name)
	if l.has(key) {
		return
	}
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.path
	}
	l.add(key, "unknown key%s", meant(name, names))
}

// checkItems finds keys of items that do not exist, and notes the lines.
func (l *loader) checkItems(node *yaml.Node, path string) {
	at := slices.IndexFunc(fields, func(f field) bool { return f.path == path })
	if at < 0 {
		return
	}
	t := reflect.TypeFor[Config]().FieldByIndex(fields[at].index).Type
	if !isItems(t) {
		return
	}
	all := itemFields(t)
	for i, one := range node.Content {
		one = resolve(one)
		l.lines[itemPath(path, i, "")] = one.Line
		for k := 0; one.Kind == yaml.MappingNode && k+1 < len(one.Content); k += 2 {
			name := one.Content[k].Value
			l.lines[itemPath(path, i, name)] = one.Content[k].Line
			if !slices.ContainsFunc(all, func(f field) bool { return f.path == name }) {
				l.addUnknownItem(path, i, name, all)
			}
		}
	}
}

// checkItemBounds compares with the tags of the fields.
func (l *loader) checkItemBounds(path string, list reflect.Value) {
	for i := range list.Len() {
		for _, f := range itemFields(list.Type()) {
			v, key := list.Index(i).FieldByIndex(f.index), itemPath(path, i, f.path)
			if f.min == "" || l.has(key) {
				continue
			}
			if v.Int() < bound(v, f.min) {
				l.add(key, "%v is below %s", encode(v), f.min)
			}
			if v.Int() > bound(v, f.max) {
				l.add(key, "%v is above %s", encode(v), f.max)
			}
		}
	}
}

// encodeItems writes a list in the notation of the file.
func encodeItems(list reflect.Value) any {
	out := make([]map[string]any, list.Len())
	for i := range out {
		out[i] = map[string]any{}
		for _, f := range itemFields(list.Type()) {
			out[i][f.path] = encode(list.Index(i).FieldByIndex(f.index))
		}
	}
	if len(out) == 0 {
		return []string{}
	}
	return out
}
