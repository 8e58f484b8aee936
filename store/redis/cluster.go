package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store"
	"github.com/deskline/deskline/xmpp/jid"
)

var _ cluster.Store = (*Store)(nil)

// ClusterEpoch implements [cluster.Store].
func (s *Store) ClusterEpoch(ctx context.Context) (uint64, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("GET", s.keys.epoch())}})
	if err != nil {
		return 0, fmt.Errorf("cluster epoch: %w", err)
	}
	return uint64(number(answer)), nil
}

// SaveAssignments implements [cluster.Store].
func (s *Store) SaveAssignments(ctx context.Context, list []cluster.Assignment) (uint64, error) {
	args := make([]any, 0, 2*len(list))
	for _, a := range list {
		args = append(args, a.User.String(), encodeHome(a.Home))
	}
	// Done twice, it only raises the epoch twice.
	answer, err := s.pipes.one(ctx, &call{write: true, cmds: []command{
		assignScript.on([]string{s.keys.epoch(), s.keys.assigned(), s.keys.changes()}, args...),
	}})
	if err != nil {
		return 0, fmt.Errorf("save %d assignments: %w", len(list), err)
	}
	return uint64(number(answer)), nil
}

// Assignments implements [cluster.Store].
func (s *Store) Assignments(ctx context.Context, after cluster.Assignment, limit int) ([]cluster.Assignment, error) {
	if limit <= 0 {
		return nil, nil
	}
	answer, err := s.pipes.one(ctx, &call{cmds: []command{
		assignedScript.on([]string{s.keys.assigned(), s.keys.changes()}, after.Epoch, after.User.String(), limit),
	}})
	var list []cluster.Assignment
	if err == nil {
		list, err = decodeAssignments(texts(answer))
	}
	if err != nil {
		return nil, fmt.Errorf("assignments: %w", err)
	}
	return list, nil
}

// decodeAssignments reads users, epochs and homes in turn.
func decodeAssignments(values []string) (list []cluster.Assignment, err error) {
	for i := 0; i+2 < len(values); i += 3 {
		j, err := jid.Parse(values[i])
		if err != nil {
			return nil, err
		}
		epoch, err := strconv.ParseFloat(values[i+1], 64) // as scores are written
		if err != nil {
			return nil, err
		}
		list = append(list, cluster.Assignment{User: j, Home: decodeHome(values[i+2]), Epoch: uint64(epoch)})
	}
	return list, nil
}

func encodeHome(h cluster.Home) string { return string(h.Primary) + "\x00" + string(h.Secondary) }

func decodeHome(value string) cluster.Home {
	primary, secondary, _ := strings.Cut(value, "\x00")
	return cluster.Home{Primary: router.NodeID(primary), Secondary: router.NodeID(secondary)}
}

// ClusterRecords implements [cluster.Store].
func (s *Store) ClusterRecords(ctx context.Context) ([]cluster.Record, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("HGETALL", s.keys.records())}})
	var list []cluster.Record
	if err == nil {
		list, err = decodeClusterRecords(fields(answer))
	}
	if err != nil {
		return nil, fmt.Errorf("cluster records: %w", err)
	}
	return list, nil
}

func decodeClusterRecords(values map[string]string) (list []cluster.Record, err error) {
	for key, value := range values {
		version, data, _ := strings.Cut(value, "\n")
		n, err := strconv.ParseUint(version, 10, 64)
		if err != nil {
			return nil, err
		}
		list = append(list, cluster.Record{Key: key, Data: []byte(data), Version: n})
	}
	slices.SortFunc(list, func(a, b cluster.Record) int { return cmp.Compare(a.Key, b.Key) })
	return list, nil
}

// SaveClusterRecord implements [cluster.Store].
func (s *Store) SaveClusterRecord(ctx context.Context, r cluster.Record, raise bool) error {
	answer, err := s.pipes.one(ctx, &call{write: true, once: true, cmds: []command{
		recordScript.on([]string{s.keys.epoch(), s.keys.records()}, r.Key, r.Version, r.Version+1, r.Data, raise),
	}})
	switch {
	case err != nil:
	case text(answer) == "CONFLICT":
		err = cluster.ErrConflict
	case text(answer) != "OK":
		err = errors.New("an answer of another form")
	}
	if err != nil {
		return fmt.Errorf("save cluster record %s: %w", r.Key, err)
	}
	return nil
}

// Cluster implements [store.Source].
func (s *Store) Cluster(ctx context.Context) (c store.Cluster, err error) {
	if c.Epoch, err = s.ClusterEpoch(ctx); err != nil {
		return c, err
	}
	for after := (cluster.Assignment{}); ; {
		page, err := s.Assignments(ctx, after, assignmentPage)
		if err != nil {
			return c, err
		}
		c.Assignments = append(c.Assignments, page...)
		if len(page) < assignmentPage {
			break
		}
		after = page[len(page)-1]
	}
	c.Records, err = s.ClusterRecords(ctx)
	return c, err
}

// assignmentPage is how many assignments are read at a time.
const assignmentPage = 1000

// RestoreCluster implements [store.Target].
func (s *Store) RestoreCluster(ctx context.Context, c store.Cluster) error {
	args := []any{c.Epoch, len(c.Records)}
	for _, r := range c.Records {
		args = append(args, r.Key, fmt.Appendf(nil, "%d\n%s", r.Version, r.Data))
	}
	for _, a := range c.Assignments {
		args = append(args, a.User.String(), a.Epoch, encodeHome(a.Home))
	}
	_, err := s.pipes.one(ctx, &call{write: true, cmds: []command{
		shareScript.on([]string{s.keys.epoch(), s.keys.records(), s.keys.assigned(), s.keys.changes()}, args...),
	}})
	if err != nil {
		return fmt.Errorf("restore the cluster's state: %w", err)
	}
	return nil
}
