package cluster

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"strings"
)

// gossipLog turns the lines of memberlist, "[WARN] memberlist: text", into
// events. What it calls an error is a warning at most: it goes on, and what
// matters is told by Members.
type gossipLog struct{ log *slog.Logger }

func newGossipLog(l *slog.Logger) *log.Logger { return log.New(gossipLog{l}, "", 0) }

// Write implements io.Writer; the standard logger calls it once a line.
func (g gossipLog) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	level := slog.LevelDebug
	if rest, ok := strings.CutPrefix(text, "["); ok {
		name, after, _ := strings.Cut(rest, "]")
		text = strings.TrimSpace(after)
		switch name {
		case "WARN", "ERR", "ERROR":
			level = slog.LevelWarn
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	// Members says so in its own words, with the second proof; the rest of
	// these is how gossip is.
	if strings.HasPrefix(text, "Was able to connect to") || strings.HasPrefix(text, "Refuting a") || strings.HasPrefix(text, "Failed fallback TCP ping") ||
		strings.HasPrefix(text, "Push/Pull with") || strings.HasPrefix(text, "failed to") {
		level = slog.LevelDebug
	}
	g.log.Log(context.Background(), level, "gossip", "detail", text)
	return len(line), nil
}
