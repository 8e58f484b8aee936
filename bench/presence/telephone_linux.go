package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/bench/site"
)

const (
	sipPort      = "5060"
	publishTime  = 6 * time.Second // that a publication lives
	publishAgain = 2 * time.Second
	resendAfter  = 500 * time.Millisecond // RFC 3261, timer E
)

// telephone publishes what it does (RFC 3903), over UDP or TCP.
type telephone struct {
	*actor
	line    string
	network string
	number  int
	tags    map[string]string // by node: it may be the node of before again
	conns   map[string]net.Conn
	readers map[string]*textproto.Reader
}

// useTelephone has a telephone make and end calls. Sometimes it loses its power for a while.
func (a *actor) useTelephone(ctx context.Context) {
	network := "udp"
	if a.i%4 == 0 {
		network = "tcp"
	}
	t := &telephone{
		actor: a, line: telephoneOf(a.i), network: network, tags: map[string]string{}, conns: map[string]net.Conn{}, readers: map[string]*textproto.Reader{},
	}
	defer t.close()
	busy := uint8(0)
	t.publish(ctx, busy, true)
	for a.turn(ctx, publishAgain, func() { t.publish(ctx, busy, false) }) {
		if a.random.IntN(8) == 0 {
			site.Pause(ctx, publishTime+time.Duration(a.random.IntN(2000))*time.Millisecond)
		}
		busy = 1 - busy
		t.publish(ctx, busy, true)
	}
}

func (t *telephone) close() {
	for name := range t.conns {
		t.hangUp(name)
	}
}

func (t *telephone) hangUp(name string) {
	if c := t.conns[name]; c != nil {
		_ = c.Close() // nothing is expected from it any more
	}
	delete(t.conns, name)
	delete(t.readers, name)
}

// publish tells one node after the other until one has taken it. Without news it
// refreshes what was published.
func (t *telephone) publish(ctx context.Context, value uint8, news bool) {
	for ; ctx.Err() == nil; site.Pause(ctx, 2*step) {
		name, addr := t.at(sipPort)
		began := time.Now()
		t.book.begin(t.i, onTelephone, value, causeOf(value, sipBegins, sipEnds), name+" over "+t.network)
		rough := t.book.rough()
		code, tag, err := t.request(ctx, name, addr, value, news || t.tags[name] == "")
		switch {
		case err != nil:
			// It may be carried out yet, until something newer was after the trouble.
			t.book.doubt(t.i, onTelephone, true)
			t.hangUp(name)
			t.node++
			continue
		case code == 412:
			delete(t.tags, name)
			continue
		case code != 200:
			t.book.note(t.i, "%s: %d", name, code)
			t.node++
			continue
		}
		t.tags[name] = tag
		if !rough {
			t.book.doubt(t.i, onTelephone, false)
		}
		t.book.accept(t.i, onTelephone, value, lapse(onTelephone, value, phoneLapses, began, publishTime)...)
		return
	}
}

// request makes one and waits for its final response.
func (t *telephone) request(ctx context.Context, name, addr string, value uint8, full bool) (code int, tag string, err error) {
	conn := t.conns[name]
	if conn == nil {
		d := net.Dialer{Timeout: tellTime}
		if conn, err = d.DialContext(ctx, t.network, addr); err != nil {
			return 0, "", err
		}
		t.conns[name], t.readers[name] = conn, textproto.NewReader(bufio.NewReaderSize(conn, 64<<10))
	}
	t.number++
	id := t.line + "-" + strconv.Itoa(t.number) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	id = strings.NewReplacer("sip:", "", "@", "-").Replace(id)
	text := t.write(conn.LocalAddr().String(), id, t.tags[name], value, full)
	limit := time.Now().Add(tellTime)
	for wait := resendAfter; time.Now().Before(limit) && ctx.Err() == nil; wait *= 2 {
		if _, err = conn.Write([]byte(text)); err != nil {
			return 0, "", err
		}
		until := limit
		if t.network == "udp" && time.Now().Add(wait).Before(limit) {
			until = time.Now().Add(wait)
		}
		_ = conn.SetReadDeadline(until)
		code, tag, err = t.answer(name, id)
		if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			return code, tag, err
		}
		t.readers[name] = textproto.NewReader(bufio.NewReaderSize(conn, 64<<10))
	}
	return 0, "", errors.Join(errors.New("no answer"), err)
}

// answer reads the final response of a request.
func (t *telephone) answer(name, id string) (code int, tag string, err error) {
	for {
		status, err := t.readers[name].ReadLine()
		if err != nil {
			return 0, "", err
		}
		header, err := t.readers[name].ReadMIMEHeader()
		if err != nil {
			return 0, "", err
		}
		_, rest, _ := strings.Cut(status, " ")
		code, err := strconv.Atoi(rest[:min(3, len(rest))])
		if err != nil {
			return 0, "", fmt.Errorf("no SIP: %q", status)
		}
		if header.Get("Call-ID") == id && code >= 200 {
			return code, header.Get("SIP-ETag"), nil
		}
	}
}

// write makes a PUBLISH. A refresh has no document (RFC 3903 §4.1).
func (t *telephone) write(own, id, match string, value uint8, full bool) string {
	body, more := "", ""
	if full {
		what := "<tuple id='a'><status><basic>open</basic></status></tuple>"
		if value == 1 { // as a call manager of Cisco says it
			what = "<tuple id='a'><status><basic>closed</basic></status></tuple><dm:person id='p'><r:activities><r:busy/></r:activities></dm:person>"
		}
		body = "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' " +
			"xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='" + t.line + "'>" + what + "</presence>"
		more = "Content-Type: application/pidf+xml\r\n"
	}
	if match != "" {
		more += "SIP-If-Match: " + match + "\r\n"
	}
	return fmt.Sprintf("PUBLISH %[1]s SIP/2.0\r\nVia: SIP/2.0/%[2]s %[3]s;branch=z9hG4bK%[4]s\r\nMax-Forwards: 70\r\nFrom: <%[1]s>;tag=a\r\nTo: <%[1]s>\r\n"+
		"Call-ID: %[4]s\r\nCSeq: 1 PUBLISH\r\nEvent: presence\r\nExpires: %[5]d\r\n%[6]sContent-Length: %[7]d\r\n\r\n%[8]s",
		t.line, strings.ToUpper(t.network), own, id, int(publishTime/time.Second), more, len(body), body)
}
