package configs

import _ "embed"

// DefaultYAML is the commented file with every key at its default.
//
//go:embed default.yaml
var DefaultYAML string

// ExampleYAML is a file for a node in production, to begin with.
//
//go:embed example.yaml
var ExampleYAML string

// DemoYAML is what runs without a file.
//
//go:embed demo.yaml
var DemoYAML string
