package configs_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/deskline/deskline/configs"
)

// FuzzParse: what is taken is valid and, printed, is taken again as the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		configs.DefaultYAML, configs.ExampleYAML, configs.DemoYAML,
		"bosh: {wait: 3h}", "bosh: &b {wait: *b}", "<<: {log: {}}", "a: b: c", "? [x]\n: 1", "1: 2", "~: 3", "domains: [\"\\u200b\"]",
		"limits: {body: 1_000_000, stanza: 0x4000}", "http: {trusted_proxies: [::ffff:1.2.3.4]}", "data_dir: !!binary aGk=",
		issuers, "auth: {oauth: [{issuer: 'https://a', audience: [b], user_domains: [C.example], claims: ['a=b=c']}, ~, [], {1: 2}, {<<: {}}]}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := configs.Parse(data)
		if err != nil {
			return
		}
		if err := cfg.Validate(); err != nil {
			t.Fatalf("taken, yet not valid: %v", err)
		}
		if cfg.Demo.Password != "" {
			cfg.Demo.Password = "***" // is printed as this
		}
		var printed bytes.Buffer
		if err := cfg.Print(&printed); err != nil {
			t.Fatal(err)
		}
		again, err := configs.Parse(printed.Bytes())
		if err != nil {
			t.Fatalf("printed as\n%s\nwhich gives %v", printed.Bytes(), err)
		}
		if !reflect.DeepEqual(cfg, again) {
			t.Fatalf("%+v became %+v", cfg, again)
		}
	})
}
