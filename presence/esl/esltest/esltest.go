// Package esltest is a peer that speaks the event socket of FreeSWITCH as its
// documentation and mod_event_socket have it, for tests: Debian has no FreeSWITCH.
//
//	s := esltest.Start(t, "ClueCon")
//	s.Call("u1", "1002@example.com", "inbound", "ACTIVE")
//	s.Hangup("u1")
//	s.Freeze() // takes connections and answers nothing
package esltest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Switch is one FreeSWITCH, as far as its event socket goes.
type Switch struct {
	t        testing.TB
	addr     string
	password string
	wait     sync.WaitGroup

	mu       sync.Mutex // guards all below
	listener net.Listener
	conns    map[net.Conn]bool // whether it has events
	channels []Channel
	frozen   bool
	asked    []string
}

// Channel is one leg of a call.
type Channel struct{ UUID, Presence, Direction, State string }

// Start starts a switch with the password of its event socket. A user is desk@example.com
// with the same.
func Start(t testing.TB, password string) *Switch {
	t.Helper()
	s := &Switch{t: t, addr: "127.0.0.1:0", password: password, conns: map[net.Conn]bool{}}
	s.Restart()
	t.Cleanup(s.Kill)
	return s
}

// Addr is its address.
func (s *Switch) Addr() string { return s.addr }

// Restart starts a switch that was killed, without calls.
func (s *Switch) Restart() {
	s.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.addr, s.listener, s.channels, s.frozen = l.Addr().String(), l, nil, false
	s.mu.Unlock()
	s.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = false
			s.mu.Unlock()
			s.wait.Go(func() { s.serve(c) })
		}
	})
}

// Kill ends the switch and its connections.
func (s *Switch) Kill() {
	s.mu.Lock()
	_ = s.listener.Close()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
}

// Freeze halts the switch: it takes connections and says nothing.
func (s *Switch) Freeze() { s.freeze(true) }

// Thaw lets a frozen switch go on with new connections.
func (s *Switch) Thaw() { s.freeze(false) }

func (s *Switch) freeze(on bool) {
	s.mu.Lock()
	s.frozen = on
	s.mu.Unlock()
}

// Asked returns the commands that came, without passwords.
func (s *Switch) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Call has a channel be in a state, and tells of it.
func (s *Switch) Call(uuid, presence, direction, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, at := "CHANNEL_CALLSTATE", slices.IndexFunc(s.channels, func(c Channel) bool { return c.UUID == uuid })
	next := Channel{uuid, presence, direction, state}
	if at < 0 {
		name = "CHANNEL_CREATE"
		s.channels = append(s.channels, next)
	} else {
		s.channels[at] = next
	}
	s.tell(name, next)
}

// Hangup ends a channel and tells of it.
func (s *Switch) Hangup(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.channels, func(c Channel) bool { return c.UUID == uuid })
	if at < 0 {
		return
	}
	c := s.channels[at]
	s.channels = slices.Delete(s.channels, at, at+1)
	c.State = "HANGUP"
	for _, name := range []string{"CHANNEL_CALLSTATE", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"} {
		s.tell(name, c)
	}
}

// Lose ends a channel of which nobody hears.
func (s *Switch) Lose(uuid string) {
	s.mu.Lock()
	s.channels = slices.DeleteFunc(s.channels, func(c Channel) bool { return c.UUID == uuid })
	s.mu.Unlock()
}

// tell sends an event to who asked for it. It is called with the lock held.
func (s *Switch) tell(name string, c Channel) {
	if s.frozen {
		return
	}
	var b strings.Builder
	for _, f := range [][2]string{
		{"Event-Name", name},
		{"Core-UUID", "0a1b"},
		{"Event-Date-Local", "2026-03-02 12:00:00"},
		{"Channel-State", "CS_EXECUTE"},
		{"Channel-Call-State", c.State},
		{"Channel-Name", "sofia/internal/" + c.Presence},
		{"Unique-ID", c.UUID},
		{"Call-Direction", c.Direction},
		{"Channel-Presence-ID", c.Presence},
		{"Caller-Channel-Created-Time", fmt.Sprint(time.Now().UnixMicro())},
	} {
		fmt.Fprintf(&b, "%s: %s\n", f[0], strings.ReplaceAll(url.QueryEscape(f[1]), "+", "%20"))
	}
	b.WriteString("\n")
	for conn, events := range s.conns {
		if events {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(conn, "Content-Length: %d\nContent-Type: text/event-plain\n\n%s", b.Len(), b.String())
		}
	}
}

func (s *Switch) serve(c net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		_ = c.Close()
	}()
	s.say(c, "Content-Type: auth/request\n\n")
	in := bufio.NewScanner(c)
	for in.Scan() {
		command := in.Text()
		if command == "" {
			continue
		}
		if !s.carryOut(c, command) {
			return
		}
	}
}

func (s *Switch) say(c net.Conn, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.frozen {
		_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
		_, _ = c.Write([]byte(text)) // the other side may be gone
	}
}

func (s *Switch) carryOut(c net.Conn, command string) bool {
	verb, rest, _ := strings.Cut(command, " ")
	s.mu.Lock()
	asked := command
	if strings.HasSuffix(verb, "auth") {
		asked = verb
	}
	s.asked = append(s.asked, asked)
	s.mu.Unlock()
	switch verb {
	case "auth", "userauth":
		if rest != s.password && rest != "desk@example.com:"+s.password {
			s.say(c, "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n")
			return false
		}
		s.say(c, "Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
	case "event":
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.say(c, "Content-Type: command/reply\nReply-Text: +OK event listener enabled plain\n\n")
	case "api":
		body := strings.TrimPrefix(rest, "echo ")
		if rest == "show channels as json" {
			body = s.list()
		}
		s.say(c, fmt.Sprintf("Content-Type: api/response\nContent-Length: %d\n\n%s", len(body), body))
	default:
		s.say(c, "Content-Type: command/reply\nReply-Text: -ERR command not found\n\n")
	}
	return true
}

func (s *Switch) list() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.channels) == 0 {
		return `{"row_count":0}`
	}
	var rows []string
	for _, c := range s.channels {
		rows = append(rows, fmt.Sprintf(`{"uuid":%q,"direction":%q,"created":"2026-03-02 12:00:00","created_epoch":"%d","name":"sofia/internal/x","state":"CS_EXECUTE","cid_name":"","presence_id":%q,"callstate":%q}`,
			c.UUID, c.Direction, time.Now().Unix(), c.Presence, c.State))
	}
	return fmt.Sprintf(`{"row_count":%d,"rows":[%s]}`, len(rows), strings.Join(rows, ","))
}
