package main

import (
	"fmt"
	"os"
	"strings"
)

// measured are the costs that README's table has: a message at 1,000/s, one from
// node to node at 200/s, Redis when it is busy (the closed loop). Presence is from
// the storm; what a poll costs is an estimate, as two thirds of a message.
var measured = Costs{
	Message: 419, Across: 1031, Presence: 49, Poll: 280, SignIn: 700, Command: 26,
	IdleKB: 18, RedisKB: 2.5,
}

// centre is a contact centre that is busy.
var centre = Habits{PerNode: 10000, Messages: 1, Changes: 12, Watchers: 50, ShiftMins: 5, PollSecs: 55}

// gossip is what configs has by default; sizes are those of packets seen.
var gossip = Gossip{ProbeSecs: 0.25, PacketBytes: 110, MemberBytes: 160, WholeSecs: 15, SuspectTimes: 5}

func main() { fmt.Fprint(os.Stdout, tables()) }

func tables() string {
	var b strings.Builder
	needs := []Need{Work(2, measured, centre, gossip), Work(10, measured, centre, gossip), Work(100, measured, centre, gossip), Work(1000, measured, centre, gossip)}
	row := func(name string, cell func(Need) string) {
		b.WriteString("| " + name)
		for _, n := range needs {
			b.WriteString(" | " + cell(n))
		}
		b.WriteString(" |\n")
	}
	row("", func(n Need) string { return number(float64(n.Nodes)) + " nodes" })
	b.WriteString("|---|" + strings.Repeat("--:|", len(needs)) + "\n")
	for _, r := range []struct {
		name string
		get  func(Need) float64
		form string
	}{
		{"users", func(n Need) float64 { return float64(n.Users) }, ""},
		{"messages a second", func(n Need) float64 { return n.Messages }, ""},
		{"presences delivered a second", func(n Need) float64 { return n.Presences }, ""},
		{"the same while a shift signs in", func(n Need) float64 { return n.Storm }, ""},
		{"cores of a node", func(n Need) float64 { return n.NodeCores / float64(n.Nodes) }, "%.1f"},
		{"the same while a shift signs in", func(n Need) float64 { return (n.NodeCores + n.SignInCores) / float64(n.Nodes) }, "%.1f"},
		{"memory of a node for sessions, GB", func(n Need) float64 { return n.NodeMemory / float64(n.Nodes) }, "%.2f"},
		{"Redis: scripts a second", func(n Need) float64 { return n.Commands }, ""},
		{"Redis: of these for presence, %", func(n Need) float64 { return 100 * n.PresenceShare }, ""},
		{"Redis: reads a second by which nodes watch each other", func(n Need) float64 { return n.Watch }, ""},
		{"Redis: copies of changed bindings it sends a second", func(n Need) float64 { return n.Told }, ""},
		{"Redis: cores", func(n Need) float64 { return n.RedisCores }, "%.1f"},
		{"Redis: shards, each 60 % busy", func(n Need) float64 { return float64(n.Shards) }, ""},
		{"Redis: memory for sessions, GB", func(n Need) float64 { return n.RedisMemory }, "%.1f"},
		{"gossip of a node, KB a second", func(n Need) float64 { return n.GossipBytes / 1000 }, "%.1f"},
		{"until all know by gossip that a node is dead, s", func(n Need) float64 { return n.DeadSecs }, "%.1f"},
	} {
		row(r.name, func(n Need) string {
			if r.form == "" {
				return number(r.get(n))
			}
			return fmt.Sprintf(r.form, r.get(n))
		})
	}
	return b.String()
}

// number writes a whole number with commas between thousands.
func number(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
