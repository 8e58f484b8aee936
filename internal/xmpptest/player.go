package xmpptest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config says what a script is played against.
type Config struct {
	Domain   string
	Password string // of all accounts, unless a statement says otherwise
	Door     Door   // of clients for which the script does not choose
	// URL returns where a user's client finds a door, each time it connects and,
	// over BOSH, for each request.
	URL func(door Door, user string) string
	// Restart stops the server and starts it again; nil if that cannot be done.
	Restart func(ctx context.Context) error
	// Administer carries out what a script has the administrator do.
	Administer func(ctx context.Context, order string) error
	// Wait is how long one statement takes at most, 0 = 20 s.
	Wait time.Duration
}

// player plays one script.
type player struct {
	cfg     Config
	clients map[string]*client
	order   []string // of names, as they came
	vars    map[string]string
}

// Play plays a script. The error names the line at which the conversation went
// another way.
func Play(ctx context.Context, cfg Config, s *Script) error {
	cfg.Wait = cmp.Or(cfg.Wait, 20*time.Second)
	p := &player{cfg: cfg, clients: make(map[string]*client), vars: make(map[string]string)}
	defer p.cutAll()
	for i := range s.statements {
		st := &s.statements[i]
		if err := p.timed(ctx, st); err != nil {
			return fmt.Errorf("%s:%d: %s %s: %w", s.Name, st.line, st.who, st.verb, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Wait)
	defer cancel()
	if err := p.quiet(ctx); err != nil {
		return fmt.Errorf("%s: at the end: %w", s.Name, err)
	}
	return nil
}

func (p *player) timed(ctx context.Context, st *statement) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Wait)
	defer cancel()
	return p.play(ctx, st)
}

func (p *player) cutAll() {
	for _, c := range p.clients {
		c.wire.cut()
	}
	clear(p.clients)
	p.order = nil
}

func (p *player) play(ctx context.Context, st *statement) error {
	switch st.verb {
	case serverRestart:
		return p.restart(ctx)
	case administrates:
		if p.cfg.Administer == nil {
			return errors.New("this server has no administrator")
		}
		return p.cfg.Administer(ctx, st.text)
	case connects, authenticates, signsIn, comesOnline, cannotSignIn:
		return p.enter(ctx, st)
	}
	c := p.clients[st.who]
	if c == nil {
		return errors.New("has not connected")
	}
	switch st.verb {
	case restarts:
		return c.wire.restart()
	case sends:
		c.acted = true
		return c.wire.send(split(p.fill(st.text))...)
	case gets:
		return p.inOrder(ctx, c, st.elements)
	case getsAnyOrder:
		return p.inAnyOrder(ctx, c, st.elements)
	case getsNothing:
		return p.nothing(ctx, c)
	case closes:
		return p.close(ctx, c, split(p.fill(st.text)))
	case vanishes:
		c.wire.cut()
		return p.leave(c)
	case isEnded:
		return p.ended(ctx, c, st.word)
	}
	return errors.New("unknown statement")
}

// enter takes a client as far into a session as the statement says.
func (p *player) enter(ctx context.Context, st *statement) error {
	c, err := p.connect(ctx, st)
	if err != nil || st.verb == connects {
		return err
	}
	password := cmp.Or(st.password, p.cfg.Password)
	if st.verb == cannotSignIn {
		if err := c.refused(ctx, password, cmp.Or(st.word, "not-authorized")); err != nil {
			return err
		}
		return p.ended(ctx, c, "")
	}
	if err := c.authenticate(ctx, password); err != nil || st.verb == authenticates {
		return err
	}
	if err := c.bind(ctx); err != nil || st.verb == signsIn {
		return err
	}
	if err := c.appear(ctx); err != nil {
		return err
	}
	// What else the server does at that, such as looking for requests of
	// subscription that wait, is not to meet with what the script does next.
	return c.sync(ctx)
}

// close ends a stream after a last word, of which the client itself is told, too.
func (p *player) close(ctx context.Context, c *client, last []string) error {
	if err := c.wire.close(last...); err != nil {
		return err
	}
	c.in.look(ctx, over)
	c.in.look(ctx, func(got []*element, _ *ending) ([]*element, bool) {
		return slices.DeleteFunc(got, func(e *element) bool {
			return e.name.Local == "presence" && e.attr("type") == "unavailable" && e.attr("from") == c.full
		}), true
	})
	return p.ended(ctx, c, "")
}

// ended waits for the end of a stream and forgets its client, which must have
// got nothing more.
func (p *player) ended(ctx context.Context, c *client, condition string) error {
	ok := c.in.look(ctx, over)
	_, end := c.in.state()
	switch {
	case !ok:
		return errors.New("the stream has not ended")
	case end.err != nil:
		return fmt.Errorf("the stream ended with %q: %w", end.condition, end.err)
	case end.condition != condition:
		return fmt.Errorf("the stream ended with %q, not %q", end.condition, condition)
	}
	return p.leave(c)
}

// leave forgets a client whose stream is over.
func (p *player) leave(c *client) error {
	c.wire.cut()
	delete(p.clients, c.name)
	if got, _ := c.in.state(); len(got) > 0 {
		return fmt.Errorf("%s got more: %s", c.name, list(got))
	}
	return nil
}

func (p *player) restart(ctx context.Context) error {
	if p.cfg.Restart == nil {
		return errors.New("this server cannot be restarted")
	}
	if err := p.quiet(ctx); err != nil {
		return err
	}
	err := p.cfg.Restart(ctx)
	p.cutAll() // they have been told
	return err
}

func (p *player) inOrder(ctx context.Context, c *client, want []*element) error {
	for _, w := range want {
		e, err := c.next(ctx)
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", w, err)
		}
		if err := p.matcher(c).match(w, e); err != nil {
			return fmt.Errorf("%w\n got %s\nwant %s", err, e, w)
		}
	}
	return nil
}

func (p *player) inAnyOrder(ctx context.Context, c *client, want []*element) error {
	open := append([]*element(nil), want...)
	for len(open) > 0 {
		e, err := c.next(ctx)
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", list(open), err)
		}
		m := p.matcher(c)
		found := -1
		for i, w := range open {
			if m.match(w, e) == nil {
				found = i
				break
			}
		}
		if found < 0 {
			return fmt.Errorf("got %s\nwant one of %s", e, list(open))
		}
		open = append(open[:found], open[found+1:]...)
	}
	return nil
}

func (p *player) matcher(c *client) *matcher {
	bare, _, _ := strings.Cut(c.full, "/")
	return &matcher{vars: p.vars, full: c.full, bare: bare}
}

// nothing proves that all a client got has been looked at.
func (p *player) nothing(ctx context.Context, c *client) error {
	for _, name := range p.order {
		o := p.clients[name]
		if o == nil || o == c || o.full == "" || !o.acted {
			continue
		}
		if err := o.sync(ctx); err != nil {
			return fmt.Errorf("%s %w", o.name, err)
		}
	}
	return p.empty(ctx, c)
}

func (p *player) empty(ctx context.Context, c *client) error {
	if c.full != "" {
		if err := c.sync(ctx); err != nil {
			return err
		}
	}
	if got, _ := c.in.state(); len(got) > 0 {
		return fmt.Errorf("%s got %s", c.name, list(got))
	}
	return nil
}

// quiet proves that nobody got more than the script says.
func (p *player) quiet(ctx context.Context) error {
	for _, name := range p.order {
		c := p.clients[name]
		if c == nil {
			continue
		}
		if got, over := c.in.state(); over != nil && len(got) == 0 {
			return fmt.Errorf("%s: %w", name, c.why(ctx))
		}
		if err := p.nothing(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func list(elements []*element) string {
	var b strings.Builder
	for _, e := range elements {
		b.WriteString("\n     " + e.String())
	}
	return b.String()
}

var (
	plainForm  = regexp.MustCompile(`\{plain:([^:}]*):([^}]*)\}`)
	repeatForm = regexp.MustCompile(`\{repeat:([0-9]+):([^}]*)\}`)
)

// fill puts what was kept or is computed into what is sent.
func (p *player) fill(text string) string {
	text = plainForm.ReplaceAllStringFunc(text, func(s string) string {
		parts := plainForm.FindStringSubmatch(s)
		return plain(parts[1], parts[2])
	})
	text = repeatForm.ReplaceAllStringFunc(text, func(s string) string {
		parts := repeatForm.FindStringSubmatch(s)
		n, _ := strconv.Atoi(parts[1]) // digits
		return strings.Repeat(parts[2], n)
	})
	m := matcher{vars: p.vars}
	return m.fill(text)
}
