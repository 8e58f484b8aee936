package configs

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Print writes every key and its value as a file that Load takes, with secrets
// as ***.
func (c Config) Print(w io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	parents := map[string]*yaml.Node{"": root}
	for _, f := range fields {
		section, name := split(f.path)
		parent := mapping(parents, section)
		value := new(yaml.Node)
		if err := value.Encode(encode(f.in(&c))); err != nil {
			return fmt.Errorf("print %s: %w", f.path, err)
		}
		value.Style |= yaml.FlowStyle & flow(value)
		parent.Content = append(parent.Content, word(name), value)
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return encoder.Close()
}

// mapping returns the node of a section, made with those it is in.
func mapping(nodes map[string]*yaml.Node, section string) *yaml.Node {
	if n, ok := nodes[section]; ok {
		return n
	}
	outer, name := split(section)
	n := &yaml.Node{Kind: yaml.MappingNode}
	parent := mapping(nodes, outer)
	parent.Content = append(parent.Content, word(name), n)
	nodes[section] = n
	return n
}

// MarshalJSON writes every key as Print does.
func (c Config) MarshalJSON() ([]byte, error) {
	root := map[string]any{}
	for _, f := range fields {
		path := strings.Split(f.path, ".")
		parent := root
		for _, section := range path[:len(path)-1] {
			inner, ok := parent[section].(map[string]any)
			if !ok {
				inner = map[string]any{}
				parent[section] = inner
			}
			parent = inner
		}
		parent[path[len(path)-1]] = encode(f.in(&c))
	}
	return json.Marshal(root)
}

func split(path string) (section, name string) {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

func word(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

func flow(n *yaml.Node) yaml.Style {
	if n.Kind == yaml.SequenceNode && (len(n.Content) == 0 || n.Content[0].Kind != yaml.MappingNode) {
		return yaml.FlowStyle
	}
	return 0
}

// Diff names the keys in which two configurations differ: those that a running
// node takes over, and those that need a restart.
func Diff(before, after Config) (live, restart []string) {
	for _, f := range fields {
		if reflect.DeepEqual(f.in(&before).Interface(), f.in(&after).Interface()) {
			continue
		}
		if f.live {
			live = append(live, f.path)
		} else {
			restart = append(restart, f.path)
		}
	}
	return live, restart
}

// WithLive returns old with the keys of after that a running node takes over.
func WithLive(old, after Config) Config {
	for _, f := range fields {
		if f.live {
			f.in(&old).Set(f.in(&after))
		}
	}
	return old
}
