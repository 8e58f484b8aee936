package cluster_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/cluster"
)

// status is short for the statuses of the tables below.
func status(state cluster.State, reason cluster.Reason) cluster.Status {
	return cluster.Status{State: state, Reason: reason}
}

// on is an event of the first node, to one of the second.
func on(kind cluster.EventKind, why ...cluster.Reason) cluster.Event {
	e := cluster.Event{Kind: kind}
	if len(why) > 0 {
		e.Reason = why[0]
	}
	return e
}

func second(e cluster.Event) cluster.Event { e.Node = 1; return e }

var healthy = cluster.Standing{status(cluster.Normal, ""), status(cluster.Normal, "")}

// TestStanding walks through what administrators of Cisco IM and Presence know.
func TestStanding(t *testing.T) {
	const admin, critical, down, start, auto = cluster.OnAdminRequest, cluster.CriticalDown, cluster.PeerDown, cluster.Initialization, cluster.AutomaticFallback
	type step struct {
		event         cluster.Event
		first, second cluster.Status
	}
	failedOver := []step{
		{on(cluster.Failover, admin), status(cluster.FailingOver, admin), status(cluster.TakingOver, admin)},
		{on(cluster.Moved), status(cluster.Idle, admin), status(cluster.Backup, admin)},
	}
	criticalDown := []step{
		{on(cluster.ServicesFailed, critical), status(cluster.FailingOver, critical), status(cluster.TakingOver, critical)},
		{on(cluster.Moved), status(cluster.FailedCritical, critical), status(cluster.Backup, critical)},
	}
	servicesBack := append(criticalDown[:2:2], step{on(cluster.Ready), status(cluster.FailedOver, critical), status(cluster.Backup, critical)})
	peerDown := []step{
		{on(cluster.Lost, down), status(cluster.Unknown, ""), status(cluster.TakingOver, down)},
		{on(cluster.Moved), status(cluster.Unknown, ""), status(cluster.Backup, down)},
	}
	for _, tt := range []struct {
		name   string
		before []step
		steps  []step
	}{
		{"a manual failover and fallback", failedOver, []step{
			{on(cluster.Fallback, admin), status(cluster.TakingBack, admin), status(cluster.FallingBack, admin)},
			{second(on(cluster.Moved)), status(cluster.Normal, ""), status(cluster.Normal, "")},
		}},
		{"a critical service down, and back, awaits a fallback", servicesBack, []step{
			{on(cluster.Ready), status(cluster.FailedOver, critical), status(cluster.Backup, critical)},
			{on(cluster.Fallback, auto), status(cluster.TakingBack, auto), status(cluster.FallingBack, auto)},
			{second(on(cluster.Moved)), status(cluster.Normal, ""), status(cluster.Normal, "")},
		}},
		{"a database that fails", nil, []step{
			{on(cluster.ServicesFailed, cluster.DatabaseFailure), status(cluster.FailingOver, cluster.DatabaseFailure), status(cluster.TakingOver, cluster.DatabaseFailure)},
			{on(cluster.Moved), status(cluster.FailedCritical, cluster.DatabaseFailure), status(cluster.Backup, cluster.DatabaseFailure)},
		}},
		{"a peer down, and up again, awaits a fallback", peerDown, []step{
			{on(cluster.Started), status(cluster.Initializing, start), status(cluster.Backup, down)},
			{on(cluster.Ready), status(cluster.FailedOver, start), status(cluster.Backup, down)},
		}},
		{"a peer that reboots", nil, []step{
			{on(cluster.Lost, cluster.PeerReboot), status(cluster.Unknown, ""), status(cluster.TakingOver, cluster.PeerReboot)},
			{on(cluster.Started), status(cluster.Initializing, start), status(cluster.TakingOver, cluster.PeerReboot)},
			{on(cluster.Ready), status(cluster.FailedOver, start), status(cluster.TakingOver, cluster.PeerReboot)},
			{on(cluster.Moved), status(cluster.FailedOver, start), status(cluster.Backup, cluster.PeerReboot)},
		}},
		{"a restart that nobody noticed", nil, []step{
			{on(cluster.Started), status(cluster.Initializing, start), status(cluster.Normal, "")},
			{on(cluster.Ready), status(cluster.Normal, ""), status(cluster.Normal, "")},
		}},
		{"the backup's critical service down while the peer is well: automatic recovery", servicesBack, []step{
			{second(on(cluster.ServicesFailed, critical)), status(cluster.TakingOver, critical), status(cluster.FailingOver, critical)},
			{second(on(cluster.Moved)), status(cluster.Backup, critical), status(cluster.FailedCritical, critical)},
		}},
		{"both bad, until recovery", criticalDown, []step{
			{second(on(cluster.ServicesFailed, critical)), status(cluster.FailedMode, critical), status(cluster.FailedMode, critical)},
			{on(cluster.Ready), status(cluster.FailedMode, critical), status(cluster.FailedMode, critical)},
			{on(cluster.Recover), status(cluster.Initializing, start), status(cluster.Initializing, start)},
			{on(cluster.Ready), status(cluster.Normal, ""), status(cluster.Initializing, start)},
			{second(on(cluster.Ready)), status(cluster.Normal, ""), status(cluster.Normal, "")},
		}},
		{"the node restarts while it is idle", failedOver, []step{
			{on(cluster.Lost, cluster.PeerReboot), status(cluster.Idle, admin), status(cluster.Backup, admin)},
			{on(cluster.Started), status(cluster.Idle, start), status(cluster.Backup, admin)},
			{on(cluster.Ready), status(cluster.Idle, start), status(cluster.Backup, admin)},
			{second(on(cluster.Started)), status(cluster.Idle, start), status(cluster.Backup, start)},
		}},
		{"the backup restarts while the node is idle", failedOver, []step{
			{second(on(cluster.Started)), status(cluster.Idle, admin), status(cluster.Backup, start)},
		}},
		{"the backup dies while the node is idle", failedOver, []step{
			{second(on(cluster.Lost, down)), status(cluster.TakingOver, down), status(cluster.Unknown, "")},
			{second(on(cluster.Moved)), status(cluster.Backup, down), status(cluster.Unknown, "")},
		}},
		{"the taking node restarts during a failover", failedOver[:1], []step{
			{second(on(cluster.Started)), status(cluster.FailingOver, admin), status(cluster.TakingOver, start)},
			{on(cluster.Moved), status(cluster.Idle, admin), status(cluster.Backup, start)},
		}},
		{"the failing node restarts during a failover", failedOver[:1], []step{
			{on(cluster.Started), status(cluster.Idle, start), status(cluster.TakingOver, admin)},
			{on(cluster.Moved), status(cluster.Idle, start), status(cluster.Backup, admin)},
		}},
		{"the failing node dies during a failover", failedOver[:1], []step{
			{on(cluster.Lost, down), status(cluster.Unknown, ""), status(cluster.TakingOver, down)},
			{on(cluster.Moved), status(cluster.Unknown, ""), status(cluster.Backup, down)},
		}},
		{"the node restarts while it takes back", failedOver, []step{
			{on(cluster.Fallback, admin), status(cluster.TakingBack, admin), status(cluster.FallingBack, admin)},
			{on(cluster.Started), status(cluster.TakingBack, start), status(cluster.FallingBack, admin)},
			{second(on(cluster.Moved)), status(cluster.Normal, ""), status(cluster.Normal, "")},
		}},
		{"services that do not start while it takes back", failedOver, []step{
			{on(cluster.Fallback, admin), status(cluster.TakingBack, admin), status(cluster.FallingBack, admin)},
			{on(cluster.ServicesFailed, critical), status(cluster.FailedMode, cluster.StartFailed), status(cluster.FailedMode, cluster.StartFailed)},
		}},
		{"a node that is back is drained before a fallback", []step{
			{on(cluster.Lost, down), status(cluster.Unknown, ""), status(cluster.TakingOver, down)},
			{on(cluster.Moved), status(cluster.Unknown, ""), status(cluster.Backup, down)},
			{on(cluster.Started), status(cluster.Initializing, start), status(cluster.Backup, down)},
			{on(cluster.Ready), status(cluster.FailedOver, start), status(cluster.Backup, down)},
		}, []step{
			{on(cluster.Failover, admin), status(cluster.FailingOver, admin), status(cluster.TakingOver, admin)},
			{on(cluster.Moved), status(cluster.Idle, admin), status(cluster.Backup, admin)},
		}},
		{"users who cannot be taken over", nil, []step{
			{on(cluster.Failover, admin), status(cluster.FailingOver, admin), status(cluster.TakingOver, admin)},
			{on(cluster.MoveFailed), status(cluster.FailedMode, cluster.TakeOverFailed), status(cluster.FailedMode, cluster.TakeOverFailed)},
		}},
		{"users who cannot be taken back", failedOver, []step{
			{on(cluster.Fallback, admin), status(cluster.TakingBack, admin), status(cluster.FallingBack, admin)},
			{second(on(cluster.MoveFailed)), status(cluster.FailedMode, cluster.TakeBackFailed), status(cluster.FailedMode, cluster.TakeBackFailed)},
		}},
		{"a drain after the peer's", peerDown, []step{
			{on(cluster.Started), status(cluster.Initializing, start), status(cluster.Backup, down)},
			{on(cluster.Ready), status(cluster.FailedOver, start), status(cluster.Backup, down)},
			{second(on(cluster.Failover, admin)), status(cluster.TakingOver, admin), status(cluster.FailingOver, admin)},
			{second(on(cluster.Moved)), status(cluster.Backup, admin), status(cluster.Idle, admin)},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := healthy
			for i, step := range append(tt.before[:len(tt.before):len(tt.before)], tt.steps...) {
				next, err := cluster.Step(s, step.event, time.Time{})
				if err != nil || next[0] != step.first || next[1] != step.second {
					t.Fatalf("step %d, %s: %v, %v; want %v and %v", i, step.event.Kind, next, err, step.first, step.second)
				}
				s = next
			}
		})
	}
}

func TestStart(t *testing.T) {
	nothing := cluster.Standing{status(cluster.Unknown, ""), status(cluster.Unknown, "")}
	steps := []cluster.Event{on(cluster.Started), on(cluster.Ready), second(on(cluster.Started)), second(on(cluster.Ready))}
	s := nothing
	for _, e := range steps {
		s, _ = cluster.Step(s, e, time.Time{})
	}
	if s != healthy {
		t.Errorf("two nodes start as %v", s)
	}
	s = nothing
	for _, e := range append(steps[:2:2], second(on(cluster.Lost, cluster.PeerDownAtStart))) {
		s, _ = cluster.Step(s, e, time.Time{})
	}
	if want := (cluster.Standing{status(cluster.Backup, cluster.PeerDownAtStart), status(cluster.Unknown, "")}); s != want {
		t.Errorf("one node starts alone as %v", s)
	}
}

func TestRefusals(t *testing.T) {
	idle := cluster.Standing{status(cluster.Idle, cluster.OnAdminRequest), status(cluster.Backup, cluster.OnAdminRequest)}
	for _, tt := range []struct {
		name  string
		s     cluster.Standing
		event cluster.Event
		want  string
	}{
		{"failover twice", idle, on(cluster.Failover), `"Idle" and "Running in Backup Mode"`},
		{"fallback of normal nodes", healthy, on(cluster.Fallback), `"Normal" and "Normal"`},
		{"fallback to the wrong one", idle, second(on(cluster.Fallback)), "cluster status"},
		{"recovery of the well", healthy, on(cluster.Recover), "Running in Failed Mode"},
	} {
		s, err := cluster.Step(tt.s, tt.event, time.Time{})
		if r, ok := errors.AsType[*cluster.Refusal](err); !ok || !strings.Contains(r.Text, tt.want) || s != tt.s {
			t.Errorf("%s: %v, %v", tt.name, s, err)
		}
	}
}

func TestDue(t *testing.T) {
	now := time.Now()
	s := cluster.Standing{{State: cluster.FailedOver, Since: now.Add(-30 * time.Minute)}, {State: cluster.Backup}}
	for _, tt := range []struct {
		name  string
		s     cluster.Standing
		delay time.Duration
		want  bool
	}{
		{"off", s, 0, false},
		{"in time", s, 30 * time.Minute, true},
		{"too early", s, 31 * time.Minute, false},
		{"moved by an administrator", cluster.Standing{{State: cluster.Idle}, {State: cluster.Backup}}, time.Minute, false},
		{"nothing to do", healthy, time.Minute, false},
	} {
		if node, due := tt.s.Due(now, tt.delay); due != tt.want || node != 0 {
			t.Errorf("%s: node %d, %t", tt.name, node, due)
		}
	}
}

// TestStandingHolds lets anything happen in any order: the two nodes always fit
// together, and nothing under way is stuck.
func TestStandingHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	why := map[cluster.EventKind][]cluster.Reason{
		cluster.ServicesFailed: {cluster.CriticalDown, cluster.DatabaseFailure},
		cluster.Lost:           {cluster.PeerDown, cluster.PeerReboot, cluster.PeerDownAtStart},
		cluster.Fallback:       {cluster.OnAdminRequest, cluster.AutomaticFallback},
		cluster.Failover:       {cluster.OnAdminRequest},
	}
	s := cluster.Standing{status(cluster.Unknown, ""), status(cluster.Unknown, "")}
	seen := map[cluster.State]bool{}
	for range 200_000 {
		e := cluster.Event{Kind: cluster.EventKind(r.IntN(int(cluster.MoveFailed)) + 1), Node: r.IntN(2)}
		if list := why[e.Kind]; list != nil {
			e.Reason = list[r.IntN(len(list))]
		}
		before := s
		s, _ = cluster.Step(s, e, time.Time{})
		for i := range s {
			seen[s[i].State] = true
			self, peer := s[i].State, s[1-i].State
			bad := self == cluster.FailingOver && peer != cluster.TakingOver ||
				self == cluster.TakingBack && peer != cluster.FallingBack || self == cluster.FallingBack && peer != cluster.TakingBack ||
				self == cluster.TakingOver && (peer == cluster.TakingOver || peer == cluster.Backup || peer == cluster.Normal) ||
				self == cluster.Backup && (peer == cluster.Backup || peer == cluster.Normal) ||
				self == cluster.Idle && peer == cluster.Idle
			if bad || s[i].State == "" || s[i].Reason == "same" || s[i].Reason == "of the event" {
				t.Fatalf("%v, then %s of node %d: %v", before, e.Kind, e.Node, s)
			}
		}
		way, moving := s.UnderWay()
		if !moving {
			continue
		}
		for _, kind := range []cluster.EventKind{cluster.Moved, cluster.MoveFailed} {
			next, _ := cluster.Step(s, cluster.Event{Kind: kind, Node: way.From}, time.Time{})
			if _, still := next.UnderWay(); still {
				t.Fatalf("%v: %s leads to %v", s, kind, next)
			}
		}
	}
	if len(seen) != 12 {
		t.Errorf("only %d states were reached: %v", len(seen), seen)
	}
}
