package live

import (
	"context"
	"fmt"
	"strings"

	"github.com/deskline/deskline/router"
)

// wishMark begins a bell that asks for a session; no id begins so.
const wishMark = "!"

// Wish asks the owner of a session to grant it to this node. It goes over Redis,
// for when nodes cannot reach each other.
func (l *Shared) Wish(ctx context.Context, sid router.SID, o Owner) error {
	text := wishMark + string(sid) + " " + l.Me().String()
	if err := l.cfg.Client.Publish(ctx, l.bellPrefix()+string(o.Node), text).Err(); err != nil {
		return fmt.Errorf("wish for a session: %w", err)
	}
	return nil
}

// wished takes a bell that Wish rang.
func (l *Shared) wished(ctx context.Context, payload string) {
	sid, who, _ := strings.Cut(strings.TrimPrefix(payload, wishMark), " ")
	o, err := ParseOwner(who)
	if err != nil {
		l.cfg.Log.ErrorContext(ctx, "strange wish", "err", err)
		return
	}
	if l.cfg.Wished != nil {
		l.cfg.Wished(router.SID(sid), o)
	}
}

// Grant gives a session of this node, which has let go of it, to another owner;
// false says that it is not this node's.
func (l *Shared) Grant(ctx context.Context, sid router.SID, to Owner) (bool, error) {
	// The list comes first: one too many does no harm.
	if err := l.cfg.Client.SAdd(ctx, l.ownedKey(to), string(sid)).Err(); err != nil {
		return false, fmt.Errorf("grant session: %w", err)
	}
	n, err := grantScript.Run(ctx, l.cfg.Client, l.sessionKeys(sid)[:1], l.Me().String(), to.String()).Int64()
	if err != nil {
		return false, fmt.Errorf("grant session: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	return true, l.Strike(ctx, sid, l.Me())
}
