package xmpptest

import (
	"context"
	"fmt"
	"sync"

	"github.com/coder/websocket"
)

const nsFraming = "urn:ietf:params:xml:ns:xmpp-framing"

// webSocket is a stream of RFC 7395.
type webSocket struct {
	ctx    context.Context //nolint:containedctx // the life of the connection
	stop   context.CancelFunc
	domain string
	in     *inbox
	ws     *websocket.Conn
	reader sync.WaitGroup
}

func dialWebSocket(ctx context.Context, url func() string, domain string, in *inbox) (wire, error) {
	ws, _, err := websocket.Dial(ctx, url(), &websocket.DialOptions{Subprotocols: []string{"xmpp"}}) //nolint:bodyclose // the connection's
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(1 << 20)
	w := &webSocket{domain: domain, in: in, ws: ws}
	w.ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	w.reader.Go(w.read)
	return w, w.restart()
}

func (w *webSocket) restart() error {
	return w.send("<open xmlns='" + nsFraming + "' version='1.0' to='" + escape(w.domain) + "'/>")
}

func (w *webSocket) send(elements ...string) error {
	for _, el := range elements {
		if err := w.ws.Write(w.ctx, websocket.MessageText, []byte(el)); err != nil {
			return err
		}
	}
	return nil
}

func (w *webSocket) close(elements ...string) error {
	return w.send(append(elements, "<close xmlns='"+nsFraming+"'/>")...)
}

func (w *webSocket) cut() {
	w.stop()
	_ = w.ws.CloseNow() // it is over either way
	w.reader.Wait()
}

// read takes what comes until the connection has ended.
func (w *webSocket) read() {
	condition := ""
	for {
		kind, data, err := w.ws.Read(w.ctx)
		if err != nil {
			w.in.end(ending{condition: condition, err: fmt.Errorf("connection lost: %w", err)})
			return
		}
		found, err := parse(string(data), "")
		if err != nil || kind != websocket.MessageText || len(found) != 1 {
			w.in.end(ending{err: fmt.Errorf("a message is not one element (%w): %s", err, data)})
			return
		}
		switch e := found[0]; {
		case e.name.Space == nsFraming && e.name.Local == "open":
			if e.attr("from") != w.domain || e.attr("version") != "1.0" {
				w.in.end(ending{err: fmt.Errorf("opened by %s", e)})
			}
		case e.name.Space == nsFraming && e.name.Local == "close":
			w.in.end(ending{condition: condition})
			_ = w.ws.Close(websocket.StatusNormalClosure, "") // the server may have gone
			return
		case e.name.Space == nsStreams && e.name.Local == "error":
			condition = conditionOf(e)
		default:
			w.in.put(e)
		}
	}
}
