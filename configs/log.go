package configs

import (
	"io"
	"log/slog"
	"path/filepath"
)

// New makes the logger and what changes its level while it is in use.
func (l Log) New(w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(l.SlogLevel())
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}

// SlogLevel is the level in the words of slog.
func (l Log) SlogLevel() slog.Level {
	var level slog.Level // info, should the word be none of those allowed
	_ = level.UnmarshalText([]byte(l.Level))
	return level
}

// StorePath is the file of the embedded store.
func (c Config) StorePath() string { return filepath.Join(c.DataDir, "deskline.db") }
