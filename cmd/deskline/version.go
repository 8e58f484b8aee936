package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/app"
)

// build is what is known of how this binary was made.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Time    string `json:"time,omitempty"`
	Go      string `json:"go"`
	System  string `json:"system"`
}

func readBuild() build {
	b := build{Version: app.Version(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		}
	}
	return b
}

func (c *cli) version() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			return c.print(b, func(w *table) {
				w.row("deskline " + b.Version)
				if b.Commit != "" {
					w.row("commit " + b.Commit + " " + b.Time)
				}
				w.row(b.Go + " " + b.System)
			})
		},
	})
}
