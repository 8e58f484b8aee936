package app

import (
	"context"
	"log/slog"
	"net"
	"reflect"

	"github.com/deskline/deskline/presence/sip"
)

// tellPhones logs what is other than before with telephones: where they are listened to, and
// the servers that are subscribed to. Either may be nil.
func tellPhones(ctx context.Context, log *slog.Logger, before, after *wiring) {
	was, now := before.named(), after.named()
	for _, name := range []string{"sip-udp", "sip-tcp", "sip-tls"} {
		switch {
		case was[name] == now[name]:
		case now[name] == "":
			log.InfoContext(ctx, "not listening any more", "name", name, "addr", was[name])
		default:
			log.InfoContext(ctx, "listening", "name", name, "addr", now[name])
		}
	}
	old, next := before.servers(), after.servers()
	var ended, begun, changed []string
	for name, one := range old {
		if other, ok := next[name]; !ok {
			ended = append(ended, name)
		} else if !reflect.DeepEqual(one, other) {
			changed = append(changed, name)
		}
	}
	for name := range next {
		if _, ok := old[name]; !ok {
			begun = append(begun, name)
		}
	}
	if len(ended)+len(begun)+len(changed) > 0 {
		log.InfoContext(ctx, "sources of presence", "kind", "sip", "ended", ended, "begun", begun, "changed", changed, "kept", len(old)-len(ended)-len(changed))
	}
}

// wiring is what telephones were at a time.
type wiring struct {
	cfg              *sip.Config
	udp, tcp, secure net.Addr
}

func wiringOf(source *sip.Source) *wiring {
	if source == nil {
		return nil
	}
	w := &wiring{cfg: source.Config()}
	w.udp, w.tcp, w.secure = source.Addrs()
	return w
}

func (w *wiring) named() map[string]string {
	all := map[string]string{}
	if w == nil {
		return all
	}
	for name, addr := range map[string]net.Addr{"sip-udp": w.udp, "sip-tcp": w.tcp, "sip-tls": w.secure} {
		if addr != nil {
			all[name] = addr.String()
		}
	}
	return all
}

func (w *wiring) servers() map[string]sip.Subscription {
	all := map[string]sip.Subscription{}
	if w != nil {
		for _, s := range w.cfg.Subscribe {
			all[s.Server+" "+s.Event] = s
		}
	}
	return all
}
