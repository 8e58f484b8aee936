package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/cluster"
)

func (c *cli) cluster() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "See and steer the nodes of a cluster",
		Long: `See and steer the nodes of a cluster. The commands ask the node that runs on
this machine, at its admin.listen; any node of the cluster will do.`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	for _, sub := range []*cobra.Command{
		c.clusterStatus(), c.clusterAssign(),
		c.clusterOrder("failover", "Move the users of a node to its peer", "has its users no more, they are at its peer"),
		c.clusterOrder("fallback", "Move the users of a node back to it", "has its users again"),
		c.clusterOrder("recover", "Let the pair of a node begin anew after it has failed", "begins anew"),
		c.clusterOrder("drain", "Failover, and let the node have no new users until a fallback", "is drained, it may be stopped"),
	} {
		sub.Flags().StringVar(&c.admin, "admin", "", "address of the node's admin port (without: admin.listen of the configuration)")
		cmd.AddCommand(c.withFile(c.withJSON(sub)))
	}
	return cmd
}

func (c *cli) clusterStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status [USER]",
		Short: "Show the nodes, or where a user belongs",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return exactly()(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				var a admin.ClusterAssignment
				if err := c.request(cmd.Context(), http.MethodGet, "/cluster/users/"+url.PathEscape(args[0]), nil, &a); err != nil {
					return err
				}
				return c.printAssignment(a)
			}
			s, err := c.status(cmd.Context())
			if err != nil {
				return err
			}
			return c.printStatus(s)
		},
	}
}

func (c *cli) status(ctx context.Context) (s admin.ClusterStatus, err error) {
	err = c.request(ctx, http.MethodGet, "/cluster", nil, &s)
	return s, err
}

func (c *cli) printStatus(s admin.ClusterStatus) error {
	return c.print(s, func(w *table) {
		w.row(fmt.Sprintf("Epoch %d, mode %s, as %s sees it.", s.Epoch, s.Mode, s.Node))
		w.row("")
		w.row("NODE", "PAIR", "STATE", "REASON", "SINCE", "MEMBER", "SESSIONS", "VERSION", "ADDRESS")
		for _, n := range s.Nodes {
			since := "-"
			if !n.Since.IsZero() {
				since = n.Since.Local().Format("2006-01-02 15:04:05")
			}
			member := n.Member
			if n.Drained {
				member += ", drained"
			}
			w.row(n.Node, dash(n.Pair), n.State, dash(n.Reason), since, member, strconv.FormatUint(n.Sessions, 10), dash(n.Version), dash(n.PublicURL))
		}
	})
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func (c *cli) clusterAssign() *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "assign USER PRIMARY [SECONDARY]",
		Short: "Give a user a node, or with --remove let the mode decide again",
		Long: `Give a user a node. Without SECONDARY it is the peer of PRIMARY in cluster.pairs.
Clients that have kept an older answer of discovery notice the new epoch. Whether
there is such a user is not checked: accounts may be in a directory.`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case remove:
				return exactly("USER")(cmd, args)
			case len(args) == 3:
				return nil
			}
			return exactly("USER", "PRIMARY")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in := map[string]string{"user": args[0]}
			for i, key := range []string{"primary", "secondary"} {
				if i+1 < len(args) {
					in[key] = args[i+1]
				}
			}
			var a admin.ClusterAssignment
			if err := c.request(cmd.Context(), http.MethodPost, "/cluster/assign", in, &a); err != nil {
				return err
			}
			return c.printAssignment(a)
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "take the assignment back")
	return cmd
}

func (c *cli) printAssignment(a admin.ClusterAssignment) error {
	if a.Warning != "" && !c.json {
		fmt.Fprintf(c.errOut, "deskline: warning: %s\n", a.Warning)
	}
	return c.print(a, func(w *table) {
		why := "by the mode"
		if a.Explicit {
			why = "assigned"
		}
		second := "no secondary"
		if a.Secondary != "" {
			second = "secondary " + a.Secondary
		}
		w.row(fmt.Sprintf("%s: primary %s, %s (%s, epoch %d)", a.User, a.Primary, second, why, a.Epoch))
	})
}

// clusterOrder makes a command for one of admin.ClusterOrders.
func (c *cli) clusterOrder(order, short, done string) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   order + " NODE",
		Short: short,
		Args:  exactly("NODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var s admin.ClusterStatus
			if err := c.request(cmd.Context(), http.MethodPost, "/cluster/"+order, map[string]string{"node": args[0]}, &s); err != nil {
				return err
			}
			return c.follow(cmd.Context(), s, args[0], done, wait)
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait until it is done")
	return cmd
}

// under are the states of a node while users are on their way.
var under = []string{
	string(cluster.FailingOver), string(cluster.TakingOver), string(cluster.TakingBack), string(cluster.FallingBack),
}

// follow waits until no users of the node's pair are on their way any more, and
// tells how it ended.
func (c *cli) follow(ctx context.Context, s admin.ClusterStatus, node, done string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	told := ""
	for {
		n, moving := standing(s, node)
		if !moving {
			if err := c.printOrder(s, n, done); err != nil {
				return err
			}
			if n.State == string(cluster.FailedMode) {
				return fmt.Errorf("%s is in state %q (%s): the log of both nodes says why, then: deskline cluster recover %s", node, n.State, n.Reason, node)
			}
			return nil
		}
		if _, ok := terminal(c.errOut); ok && n.State != told {
			fmt.Fprintf(c.errOut, "%s: %s …\n", node, n.State)
			told = n.State
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is still in state %q after %s; it goes on: see deskline cluster status", node, n.State, wait)
		case <-tick.C:
		}
		next, err := c.status(ctx)
		if err == nil {
			s = next
		} else if ctx.Err() == nil {
			return err
		}
	}
}

const followEvery = 300 * time.Millisecond

func (c *cli) printOrder(s admin.ClusterStatus, n admin.ClusterNode, done string) error {
	if c.json || n.State == string(cluster.FailedMode) {
		return c.printStatus(s)
	}
	_, err := fmt.Fprintf(c.out, "%s %s (%s)\n", n.Node, done, n.State)
	return err
}

// standing finds a node and whether users of its pair are on their way.
func standing(s admin.ClusterStatus, node string) (found admin.ClusterNode, moving bool) {
	for _, n := range s.Nodes {
		if n.Node == node {
			found = n
		}
	}
	for _, n := range s.Nodes {
		moving = moving || n.Pair == found.Pair && slices.Contains(under, n.State)
	}
	return found, moving
}
