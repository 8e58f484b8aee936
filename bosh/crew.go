package bosh

import "sync"

// crew counts those at work, so that a shutdown can wait for them. Others may
// join meanwhile, which a sync.WaitGroup does not allow.
type crew struct {
	mu    sync.Mutex // guards what follows
	n     int
	empty chan struct{} // closed when nobody is at work; nil if nobody waits
}

func (c *crew) join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.empty != nil {
		close(c.empty)
		c.empty = nil
	}
}

// idle is closed at a moment when nobody is at work.
func (c *crew) idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.empty
	switch {
	case c.n == 0:
		ch = make(chan struct{})
		close(ch)
	case ch == nil:
		ch = make(chan struct{})
		c.empty = ch
	}
	return ch
}
