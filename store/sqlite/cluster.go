package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store"
	"github.com/deskline/deskline/xmpp/jid"
)

var _ cluster.Store = (*Store)(nil)

// ClusterEpoch implements [cluster.Store].
func (s *Store) ClusterEpoch(ctx context.Context) (epoch uint64, err error) {
	err = s.read(ctx, func(ctx context.Context, h *handle) error {
		return h.row(ctx, `SELECT epoch FROM cluster_epoch`).Scan(&epoch)
	})
	if err != nil {
		return 0, fmt.Errorf("cluster epoch: %w", err)
	}
	return epoch, nil
}

func raiseEpoch(ctx context.Context, h *handle) (epoch uint64, err error) {
	err = h.row(ctx, `UPDATE cluster_epoch SET epoch = epoch + 1 RETURNING epoch`).Scan(&epoch)
	return epoch, err
}

// SaveAssignments implements [cluster.Store].
func (s *Store) SaveAssignments(ctx context.Context, list []cluster.Assignment) (epoch uint64, err error) {
	err = s.write(ctx, func(ctx context.Context, h *handle) (err error) {
		if epoch, err = raiseEpoch(ctx, h); err != nil {
			return err
		}
		for _, a := range list {
			if _, err := h.exec(ctx, `INSERT INTO cluster_assignments (domain, local, "primary", secondary, epoch) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT DO UPDATE SET "primary" = excluded."primary", secondary = excluded.secondary, epoch = excluded.epoch`,
				a.User.Domain(), a.User.Local(), string(a.Home.Primary), string(a.Home.Secondary), epoch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("save %d assignments: %w", len(list), err)
	}
	return epoch, nil
}

// Assignments implements [cluster.Store].
func (s *Store) Assignments(ctx context.Context, after cluster.Assignment, limit int) ([]cluster.Assignment, error) {
	var list []cluster.Assignment
	err := s.read(ctx, func(ctx context.Context, h *handle) error {
		list = nil
		query, args := `WHERE epoch > ?`, []any{after.Epoch}
		if !after.User.IsZero() {
			query, args = `WHERE (epoch, domain, local) > (?, ?, ?)`, append(args, after.User.Domain(), after.User.Local())
		}
		return h.query(ctx, func(rows *sql.Rows) error {
			var domain, local, primary, secondary string
			var a cluster.Assignment
			if err := rows.Scan(&domain, &local, &primary, &secondary, &a.Epoch); err != nil {
				return err
			}
			a.Home = cluster.Home{Primary: router.NodeID(primary), Secondary: router.NodeID(secondary)}
			var err error
			a.User, err = jid.New(local, domain, "")
			list = append(list, a)
			return err
		}, `SELECT domain, local, "primary", secondary, epoch FROM cluster_assignments `+query+` ORDER BY epoch, domain, local LIMIT ?`, append(args, limit)...)
	})
	if err != nil {
		return nil, fmt.Errorf("assignments: %w", err)
	}
	return list, nil
}

// ClusterRecords implements [cluster.Store].
func (s *Store) ClusterRecords(ctx context.Context) ([]cluster.Record, error) {
	var list []cluster.Record
	err := s.read(ctx, func(ctx context.Context, h *handle) error {
		list = nil
		return h.query(ctx, func(rows *sql.Rows) error {
			var r cluster.Record
			err := rows.Scan(&r.Key, &r.Data, &r.Version)
			list = append(list, r)
			return err
		}, `SELECT key, data, version FROM cluster_records ORDER BY key`)
	})
	if err != nil {
		return nil, fmt.Errorf("cluster records: %w", err)
	}
	return list, nil
}

// SaveClusterRecord implements [cluster.Store].
func (s *Store) SaveClusterRecord(ctx context.Context, r cluster.Record, raise bool) error {
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		var version uint64
		err := h.row(ctx, `SELECT version FROM cluster_records WHERE key = ?`, r.Key).Scan(&version)
		switch {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		case version != r.Version:
			return cluster.ErrConflict
		}
		if _, err := h.exec(ctx, `INSERT INTO cluster_records (key, data, version) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET data = excluded.data, version = excluded.version`, r.Key, blob(r.Data), r.Version+1); err != nil {
			return err
		}
		if raise {
			_, err = raiseEpoch(ctx, h)
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save cluster record %s: %w", r.Key, err)
	}
	return nil
}

// Cluster implements [store.Source].
func (s *Store) Cluster(ctx context.Context) (c store.Cluster, err error) {
	var errs [3]error
	c.Epoch, errs[0] = s.ClusterEpoch(ctx)
	c.Assignments, errs[1] = s.Assignments(ctx, cluster.Assignment{}, math.MaxInt)
	c.Records, errs[2] = s.ClusterRecords(ctx)
	return c, errors.Join(errs[:]...)
}

// RestoreCluster implements [store.Target].
func (s *Store) RestoreCluster(ctx context.Context, c store.Cluster) error {
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		for _, q := range []string{`DELETE FROM cluster_assignments`, `DELETE FROM cluster_records`} {
			if _, err := h.exec(ctx, q); err != nil {
				return err
			}
		}
		if _, err := h.exec(ctx, `UPDATE cluster_epoch SET epoch = ?`, int64(c.Epoch)); err != nil {
			return err
		}
		for _, r := range c.Records {
			if _, err := h.exec(ctx, `INSERT INTO cluster_records (key, data, version) VALUES (?, ?, ?)`,
				r.Key, blob(r.Data), int64(r.Version)); err != nil {
				return err
			}
		}
		for _, a := range c.Assignments {
			if _, err := h.exec(ctx, `INSERT INTO cluster_assignments (domain, local, "primary", secondary, epoch) VALUES (?, ?, ?, ?, ?)`,
				a.User.Domain(), a.User.Local(), string(a.Home.Primary), string(a.Home.Secondary), int64(a.Epoch)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore the cluster's state: %w", err)
	}
	return nil
}
