package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/deskline/deskline/people"
)

var _ people.Store = (*Store)(nil)

// GroupRecords implements [people.Store].
func (s *Store) GroupRecords(ctx context.Context) ([]people.Record, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("HGETALL", s.keys.groups())}})
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	var list []people.Record
	for _, value := range fields(answer) {
		r, err := decodeGroup(value)
		if err != nil {
			return nil, fmt.Errorf("read groups: %w", err)
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b people.Record) int { return strings.Compare(a.Key(), b.Key()) })
	return list, nil
}

// encodeGroup writes whether the group is authorised, its domain, and its name.
func encodeGroup(r people.Record) string {
	mark := "0"
	if r.Authorised {
		mark = "1"
	}
	return mark + "\x00" + r.Domain + "\x00" + r.Name
}

func decodeGroup(value string) (people.Record, error) {
	parts := strings.SplitN(value, "\x00", 3)
	if len(parts) != 3 {
		return people.Record{}, errors.New("a group of another form")
	}
	return people.Record{Name: parts[2], Domain: parts[1], Authorised: parts[0] == "1"}, nil
}

// SaveGroupRecord implements [people.Store].
func (s *Store) SaveGroupRecord(ctx context.Context, r people.Record) error {
	_, err := s.pipes.one(ctx, &call{write: true, cmds: []command{plain("HSET", s.keys.groups(), r.Key(), encodeGroup(r))}})
	if err != nil {
		return fmt.Errorf("save group %q: %w", r.Name, err)
	}
	return nil
}

// DeleteGroupRecord implements [people.Store].
func (s *Store) DeleteGroupRecord(ctx context.Context, r people.Record) error {
	answer, err := s.pipes.one(ctx, &call{write: true, once: true, cmds: []command{plain("HDEL", s.keys.groups(), r.Key())}})
	if err == nil && number(answer) == 0 {
		err = people.ErrNoGroup
	}
	if err != nil {
		return fmt.Errorf("delete group %q: %w", r.Name, err)
	}
	return nil
}
