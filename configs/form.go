package configs

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkForm finds keys that do not exist, and notes the lines of those that do.
func (l *loader) checkForm(data []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := decoder.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			l.notYAML(err)
		}
		return
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		l.notYAML(errors.New("a second document begins, there must be one"))
		return
	}
	known := append(keys(), sections...)
	root := doc.Content[0]
	if isNull(root) {
		return
	}
	if root.Kind != yaml.MappingNode {
		l.notYAML(errors.New("the file must be made of keys such as domains: [example.com]"))
		return
	}
	l.checkKeys(root, "", known)
}

func (l *loader) checkKeys(node *yaml.Node, prefix string, known []string) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], resolve(node.Content[i+1])
		path := prefix + name.Value
		section := slices.Contains(sections, path)
		l.lines[path] = name.Line
		switch {
		case name.Kind != yaml.ScalarNode || !slices.Contains(known, path) || strings.Contains(name.Value, "."):
			l.add(path, "unknown key%s", meant(path, known))
		case section && value.Kind == yaml.MappingNode:
			l.checkKeys(value, path+".", known)
		case section && !isNull(value):
			l.add(path, "is a section, its keys stand below it")
		case value.Kind == yaml.SequenceNode:
			l.checkItems(value, path)
		}
	}
}

func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }
