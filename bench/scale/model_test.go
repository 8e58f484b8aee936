package main

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables into docs/scale.md")

const (
	page  = "../../docs/scale.md"
	begin = "<!-- go run ./bench/scale -->\n"
	end   = "<!-- end -->"
)

// The page shows what the model says.
func TestPage(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	shown, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("the page has no place for the tables")
	}
	want := tables()
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if shown != want {
		t.Errorf("%s is not up to date: go test ./bench/scale -update", page)
	}
}

func TestWork(t *testing.T) {
	t.Parallel()
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > want/1000 {
			t.Errorf("%s: %f, want %f", name, got, want)
		}
	}
	n := Work(100, measured, centre, gossip)
	near("messages", n.Messages, 1e6/60)
	near("presences", n.Presences, 1e6*12/3600*50)
	near("watch", n.Watch, 100*2*102)
	near("told", n.Told, 1e6*12/3600*100)
	near("memory", n.NodeMemory, 1e6*measured.IdleKB/1e6)
	// What nodes do to look after each other grows with their square.
	near("square", Work(2000, measured, centre, gossip).Watch/Work(1000, measured, centre, gossip).Watch, 2002.0/1002*2)
	if few, many := Work(10, measured, centre, gossip), Work(1000, measured, centre, gossip); many.DeadSecs > 3*few.DeadSecs+1 {
		t.Errorf("death is known after %.1f s among 10 nodes and %.1f among 1,000", few.DeadSecs, many.DeadSecs)
	}
}
