package main

import (
	"bufio"
	"context"
	_ "embed" // the program of the clients
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/deskline/deskline/bench/peer"
	"github.com/deskline/deskline/bench/site"
)

//go:embed strophe.mjs
var stropheProgram []byte

// stropheWait is how many seconds Strophe.js has its requests held. It waits
// 1.1 times as long before it sends one again.
const stropheWait = 10

// troupe is a process of Node.js with sessions of Strophe.js.
type troupe struct {
	book *book
	cmd  *exec.Cmd
	done chan struct{} // closed when all events were read

	mu      sync.Mutex // guards what follows
	in      io.WriteCloser
	members map[int]*strophe
}

// strophe is one of its sessions.
type strophe struct {
	troupe *troupe
	index  int
	doors  []string
	opened chan error // size 1
	ended  chan struct{}
	once   sync.Once // closes ended
}

type order struct {
	Order    string   `json:"order"`
	ID       int      `json:"id"`
	Text     string   `json:"text,omitempty"`
	JID      string   `json:"jid,omitempty"`
	Password string   `json:"password,omitempty"`
	Doors    []string `json:"doors,omitempty"`
	Wait     int      `json:"wait,omitempty"`
	Mate     string   `json:"mate,omitempty"`
}

type event struct {
	Event string `json:"event"`
	ID    int    `json:"id"`
	RID   uint64 `json:"rid"`
	Text  string `json:"text"`
}

// startTroupe starts Node.js with the modules of a folder.
func startTroupe(dir, modules string, b *book) (*troupe, error) {
	if _, err := os.Stat(filepath.Join(modules, "node_modules", "strophe.js")); err != nil {
		return nil, fmt.Errorf("strophe.js is missing, run npm ci in test/clients: %w", err)
	}
	program := filepath.Join(dir, "strophe.mjs")
	if err := os.WriteFile(program, stropheProgram, 0o600); err != nil {
		return nil, fmt.Errorf("write the clients: %w", err)
	}
	t := &troupe{book: b, cmd: exec.Command("node", program, modules), done: make(chan struct{}), members: make(map[int]*strophe)}
	t.cmd.Stderr = os.Stderr
	in, err := t.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start Node.js: %w", err)
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start Node.js: %w", err)
	}
	t.in = in
	if err := t.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Node.js, see scripts/install.sh: %w", err)
	}
	go t.listen(out) // ends with the process
	return t, nil
}

func (t *troupe) listen(out io.Reader) {
	defer close(t.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // a line of Node.js itself
		}
		t.mu.Lock()
		c := t.members[e.ID]
		t.mu.Unlock()
		switch e.Event {
		case "open":
			c.opened <- nil
		case "message":
			t.book.arrive(e.ID, e.RID, []byte(e.Text))
		case "away":
			t.book.away(e.ID, e.Text)
		case "end":
			t.book.fail(e.ID, "Strophe.js: "+e.Text)
			c.once.Do(func() { close(c.ended) })
		}
	}
}

func (t *troupe) tell(o order) error {
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("tell Node.js: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := t.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("tell Node.js: %w", err)
	}
	return nil
}

// stop ends the process.
func (t *troupe) stop() {
	_ = t.in.Close()
	<-t.done
	_ = t.cmd.Wait() // how it ends does not matter
}

func (t *troupe) add(i int, doors []string) *strophe {
	c := &strophe{troupe: t, index: i, doors: doors, opened: make(chan error, 1), ended: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members[i] = c
	return c
}

func (c *strophe) open(ctx context.Context) error {
	err := c.troupe.tell(order{
		Order: "open", ID: c.index, JID: c.troupe.book.full(c.index), Mate: c.troupe.book.full(c.index ^ 1),
		Password: peer.Password, Doors: c.doors, Wait: stropheWait,
	})
	if err != nil {
		return err
	}
	select {
	case err := <-c.opened:
		return err
	case <-c.ended:
		return errors.New("sign in: Strophe.js gave up")
	case <-time.After(site.StartTime):
		return errors.New("sign in: Strophe.js is not connected")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *strophe) home() { _ = c.troupe.tell(order{Order: "home", ID: c.index}) }

func (c *strophe) say(_ context.Context, mark string) error {
	return c.troupe.tell(order{Order: "say", ID: c.index, Text: mark})
}

func (c *strophe) close(ctx context.Context) {
	if c.troupe.tell(order{Order: "close", ID: c.index}) != nil {
		return
	}
	select {
	case <-c.ended:
	case <-c.troupe.done:
	case <-time.After(site.ClientTimeout):
	case <-ctx.Done():
	}
}
