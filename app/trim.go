package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// trim gives memory back when the node is calm. A burst, such as a storm of
// logins, leaves garbage and grown stacks behind, which the runtime collects
// only once as much again was allocated; with thousands of clients that just
// wait, that can take minutes.
func trim(ctx context.Context) error {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
	}
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	var before uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		metrics.Read(samples)
		allocs, live, objects := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()
		calm := allocs-before < calmBytes
		before = allocs
		// Worth it only when a good part of the heap is garbage; then it is not
		// repeated until there is new garbage.
		if calm && objects > live+live/4 && objects-live > calmBytes {
			debug.FreeOSMemory()
		}
	}
}

const (
	trimEvery = time.Second
	calmBytes = 2 << 20 // allocated in that time at most, and garbage at least
)
