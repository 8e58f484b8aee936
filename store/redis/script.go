package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"

	goredis "github.com/redis/go-redis/v9"
)

// Each script begins with a comment of its keys, arguments and answers. Those
// about an account answer NONE if there is none, and "BATCH:" and a token if the
// account may be one of an import that has not ended.
//
//go:embed lua/*.lua
var sources embed.FS

// script is one of the scripts.
type script struct{ source, sha string }

var scripts []*script

func newScript(name string) *script {
	source, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	sum := sha1.Sum(source)
	s := &script{string(source), hex.EncodeToString(sum[:])}
	scripts = append(scripts, s)
	return s
}

var (
	createScript   = newScript("create")
	updateScript   = newScript("update")
	deleteScript   = newScript("delete")
	settleScript   = newScript("settle")
	commitScript   = newScript("commit")
	idsScript      = newScript("ids")
	saveScript     = newScript("save")
	sinceScript    = newScript("since")
	appendScript   = newScript("append")
	removeScript   = newScript("remove")
	putScript      = newScript("put")
	privateScript  = newScript("private")
	stowScript     = newScript("stow")
	takeScript     = newScript("take")
	assignScript   = newScript("assign")
	assignedScript = newScript("assigned")
	recordScript   = newScript("record")
	restoreScript  = newScript("restore")
	shareScript    = newScript("share")
	changesScript  = newScript("changes")
	sweepScript    = newScript("sweep")
)

// load gives the scripts to every server. One that does not know a script, for
// it was restarted or is new, is given it with the call.
func (s *Store) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	return classify(s.each(ctx, func(ctx context.Context, c *goredis.Client) error {
		pipe := c.Pipeline()
		for _, sc := range scripts {
			pipe.ScriptLoad(ctx, sc.source)
		}
		_, err := pipe.Exec(ctx)
		return err
	}))
}

// command is a command, or a call of a script.
type command struct {
	script *script
	keys   int // a script's, the first of args
	args   []any
}

func plain(args ...any) command { return command{args: args} }

func (sc *script) on(keys []string, args ...any) command {
	all := make([]any, 0, len(keys)+len(args))
	for _, k := range keys {
		all = append(all, k)
	}
	return command{script: sc, keys: len(keys), args: append(all, args...)}
}

// build makes what goes to the server; full is for one that does not know the
// script.
func (c command) build(ctx context.Context, full bool) once {
	args := c.args
	if c.script != nil {
		args = make([]any, 0, len(c.args)+3)
		if full {
			args = append(args, "EVAL", c.script.source, c.keys)
		} else {
			args = append(args, "EVALSHA", c.script.sha, c.keys)
		}
		args = append(args, c.args...)
	}
	return once{goredis.NewCmd(ctx, args...)}
}

// once is a command that the client library does not repeat by itself, for it
// does not know what may be done twice.
type once struct{ *goredis.Cmd }

// NoRetry implements [goredis.Cmder].
func (once) NoRetry() bool { return true }
