package sip

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// watch is the subscription to one line. Its server's loop owns it while a request is
// under way; what NOTIFYs change is guarded by subscriber.mu.
type watch struct {
	target *target
	uri    sip.Uri
	key    string // among those of its target
	line   string
	origin string
	due    time.Time
	asked  time.Time
	at     int // in the heap, -1 when it is not there

	gone    bool // it is not among the target's any more
	cseq    uint32
	expires time.Duration // asked for

	// Guarded by subscriber.mu.
	callID, tag, remote string
	contact             sip.Uri // of the server; no host = none yet
	routes              []string
	remoteSeq           uint32
	until               time.Time
	teller              teller
	partial             Partial
	unfit               int       // changes that could not be made
	whole               bool      // full documents are asked for alone
	list                *listed   // nil: a line
	reset               bool      // a new dialog is needed
	kicked              bool      // to be asked for again at once,
	hold                time.Time // but not before
}

// begin makes a new dialog.
func (w *watch) begin() {
	w.callID, w.tag, w.remote = rand.Text(), rand.Text()[:16], ""
	w.contact, w.routes, w.remoteSeq, w.cseq, w.reset = sip.Uri{}, nil, 0, 0, false
	w.teller = teller{}
	w.target.sub.forget(w)
	if w.list != nil {
		w.list.roll.Restart()
	}
}

// request makes a SUBSCRIBE of RFC 6665 within the watch's dialog.
func (w *watch) request(own netip.AddrPort, expires time.Duration) *sip.Request {
	t := w.target
	to := w.uri
	if w.contact.Host != "" {
		to = w.contact
	}
	w.cseq++
	req := sip.NewRequest(sip.SUBSCRIBE, to)
	req.SetTransport(strings.ToUpper(t.transport))
	via := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: strings.ToUpper(t.transport), Host: host(own.Addr()), Port: int(own.Port())}
	via.Params.Add("branch", sip.GenerateBranchN(16))
	via.Params.Add("rport", "")
	req.AppendHeader(via)
	forwards, call := sip.MaxForwardsHeader(70), sip.CallIDHeader(w.callID)
	req.AppendHeader(&forwards)
	from := &sip.FromHeader{Address: t.from}
	from.Params.Add("tag", w.tag)
	req.AppendHeader(from)
	toHeader := &sip.ToHeader{Address: w.uri}
	if w.remote != "" {
		toHeader.Params.Add("tag", w.remote)
	}
	req.AppendHeader(toHeader)
	req.AppendHeader(&call)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: w.cseq, MethodName: sip.SUBSCRIBE})
	for _, r := range w.routes {
		req.AppendHeader(sip.NewHeader("Route", r))
	}
	contact := sip.Uri{Scheme: "sip", User: "deskline", Host: host(own.Addr()), Port: int(own.Port())}
	contact.UriParams.Add("transport", t.transport)
	req.AppendHeader(&sip.ContactHeader{Address: contact})
	req.AppendHeader(sip.NewHeader("Event", t.event))
	req.AppendHeader(sip.NewHeader("Accept", w.accepts()))
	if w.list != nil {
		req.AppendHeader(sip.NewHeader("Supported", "eventlist")) // RFC 4662 §4.1
	}
	req.AppendHeader(sip.NewHeader("Expires", seconds(expires)))
	req.AppendHeader(sip.NewHeader("User-Agent", "deskline"))
	if w.list != nil && w.list.body != nil && w.remote == "" {
		w.list.bring(req)
	} else {
		req.SetBody(nil)
	}
	return req
}

func host(a netip.Addr) string {
	if a.Is6() && !a.Is4In6() {
		return "[" + a.String() + "]"
	}
	return a.Unmap().String()
}

// sign adds the answer to a challenge, to a request that is sent anew.
func sign(req *sip.Request, res *sip.Response, user, password string) error {
	ask, reply := "WWW-Authenticate", "Authorization"
	if res.StatusCode == sip.StatusProxyAuthRequired {
		ask, reply = "Proxy-Authenticate", "Proxy-Authorization"
	}
	for _, h := range res.GetHeaders(ask) {
		c, err := digest.ParseChallenge(h.Value())
		if err != nil || !digest.CanDigest(c) {
			continue
		}
		cred, err := digest.Digest(c, digest.Options{Method: req.Method.String(), URI: req.Recipient.String(), Count: 1, Username: user, Password: password})
		if err != nil {
			return fmt.Errorf("sign in: %w", err)
		}
		req.AppendHeader(sip.NewHeader(reply, cred.String()))
		return nil
	}
	return errors.New("no challenge that can be answered")
}

// secondsOf reads a value of seconds, ok false if there is none.
func secondsOf(text string) (time.Duration, bool) {
	text, _, _ = strings.Cut(text, ";")
	text, _, _ = strings.Cut(text, "(") // a comment behind Retry-After
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

// dues is a heap of watches, the next first.
type dues []*watch

func (d dues) Len() int           { return len(d) }
func (d dues) Less(i, j int) bool { return d[i].due.Before(d[j].due) }
func (d dues) Swap(i, j int)      { d[i], d[j] = d[j], d[i]; d[i].at, d[j].at = i, j }

// Push implements heap.Interface.
func (d *dues) Push(x any) { w := x.(*watch); w.at = len(*d); *d = append(*d, w) }

// Pop implements heap.Interface.
func (d *dues) Pop() any {
	old := *d
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	w.at = -1
	return w
}
