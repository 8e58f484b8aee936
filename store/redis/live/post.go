package live

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Outcomes of post.lua.
const (
	postGone = iota
	postAccepted
	postKnown
	postFull
)

// Post implements router.Mailboxes.
func (l *Shared) Post(ctx context.Context, to []router.SID, st *stanza.Stanza) error {
	frame := st.AppendXML(nil)
	letters := make([]router.Letter, len(to))
	for i, sid := range to {
		letters[i] = router.Letter{To: sid, Stanza: st, Frame: frame}
	}
	took, err := l.post(ctx, letters)
	if err == nil && took == 0 {
		return router.ErrUndelivered
	}
	return err
}

// Send implements router.Mailboxes.
func (l *Shared) Send(ctx context.Context, letters []router.Letter) error {
	_, err := l.post(ctx, letters)
	return err
}

// post accepts letters and counts the sessions that took theirs.
func (l *Shared) post(ctx context.Context, letters []router.Letter) (took int, err error) {
	origin := router.OriginOf(ctx)
	sender := origin.SID()
	request, places := tokens(origin, letters)
	if _, left, cause := l.tide.state(); left <= 0 {
		return 0, fmt.Errorf("post: %w", asAway(cause))
	}
	answers, acts := make(chan answer, len(letters)), make([]act, len(letters))
	with, bells := l.gathers(sender), l.bellPrefix()
	if l.cfg.Replicas > 0 {
		bells = "" // the receiver must not hear of what a failover may forget
	}
	for i := range letters {
		acts[i] = act{
			script: postScript, keys: l.sessionKeys(letters[i].To),
			args: []any{
				seal(letters[i].Stanza, letters[i].Frame), string(sender), request, places[i], string(l.cfg.Node), bells, string(letters[i].To), l.cfg.Room, l.keep(),
			},
			done: func(c *goredis.Cmd) { answers <- answer{i, c} },
		}
	}
	l.pipe.carry(append(with.take(false), acts...))
	var errs []error
	for range letters {
		var a answer
		select {
		case a = <-answers:
		case <-ctx.Done():
			return took, ctx.Err()
		}
		if request != 0 && passing(a.cmd.Err()) {
			a.cmd = l.again(ctx, &acts[a.of]) // Redis knows the letter if it has it
		}
		ok, err := l.posted(ctx, &letters[a.of], a.cmd, with)
		if ok {
			took++
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return took, fmt.Errorf("post: %w", asAway(errs[0]))
	}
	return took, nil
}

// tokens numbers letters. Those of one post to different sessions have the same
// number, whoever else gets one when it is repeated; those to the same session
// follow each other.
func tokens(o *router.Origin, letters []router.Letter) (request uint64, places []uint64) {
	places = make([]uint64, len(letters))
	var rounds []uint64
	var had map[router.SID]int
	if len(letters) > 1 && o != nil {
		had = make(map[router.SID]int, len(letters))
	}
	for i := range letters {
		round := had[letters[i].To]
		if round == len(rounds) {
			r, place, _ := o.Token()
			request, rounds = r, append(rounds, place)
		}
		if had != nil {
			had[letters[i].To]++
		}
		places[i] = rounds[round]
	}
	return request, places
}

// again runs a script until Redis is there to answer.
func (l *Shared) again(ctx context.Context, a *act) *goredis.Cmd {
	cmd, err := l.surely(ctx, a.script, a.keys, a.args...)
	if err != nil {
		cmd = goredis.NewCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

type answer struct {
	of  int
	cmd *goredis.Cmd
}

func (l *Shared) posted(ctx context.Context, letter0 *router.Letter, cmd *goredis.Cmd, with *gathering) (took bool, err error) {
	result, err := cmd.Slice()
	if err != nil {
		return false, err
	}
	if len(result) != 3 {
		return false, errors.New("strange answer")
	}
	outcome, _ := result[0].(int64)
	number, _ := result[1].(int64)
	node, _ := result[2].(string)
	here := outcome > 0
	if !here {
		outcome = -outcome
	}
	switch {
	case outcome != postAccepted && outcome != postKnown:
		return false, nil
	case outcome == postAccepted && here:
		l.arrive(ctx, letter0.To, uint64(number), letter{letter0.Stanza, letter0.Frame}, with) //nolint:gosec // it counts up
	case here:
		// Whoever posted it may not have learnt that it was accepted.
		if b, ok := l.boxes.get(letter0.To); ok {
			l.catchUp(ctx, letter0.To, b)
		}
	case l.cfg.Replicas > 0:
		l.ringAt(ctx, node, letter0, number)
	}
	return true, nil
}

// ringAt tells another node of a letter that replicas have by now; number 0 has
// it read the mailbox. A bell may be lost, the mailbox has the letter.
func (l *Shared) ringAt(ctx context.Context, node string, x *router.Letter, number int64) {
	text := string(x.To) + " " + strconv.FormatInt(number, 10) + " "
	if number > 0 {
		text += string(seal(x.Stanza, x.Frame))
	}
	if err := l.cfg.Client.Publish(ctx, l.bellPrefix()+node, text).Err(); err != nil {
		l.cfg.Log.WarnContext(ctx, "ring a bell", "node", node, "err", err)
	}
}
