package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/people"
)

// groupInfo is a group as it is shown.
type groupInfo struct {
	Name       string   `json:"name"`
	Domain     string   `json:"domain,omitempty"` // of a tenant; "" = of all
	Authorised bool     `json:"authorised"`
	By         string   `json:"by,omitempty"` // what authorises it
	Count      int      `json:"members"`
	Members    []string `json:"users,omitempty"` // local ones, when one group is shown
}

// named tells of a change of a group.
type named struct {
	Group string   `json:"group"`
	Users []string `json:"users,omitempty"`
	Done  string   `json:"done"`
}

func (c *cli) group() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Look after groups and what they may",
		Long: `Look after groups and what they may, whether the node runs or not. Members of a
group that may use chat ("authorised") are contacts of each other by themselves, and
with groups.required nobody else can sign in. A group of the directory is
authorised by its name there, such as "cn=agents,ou=groups,dc=example,dc=com". A
node that runs hears of changes within groups.refresh.`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	member := &cobra.Command{
		Use: "member", Short: "Put local users into a group, or take them out", Args: cobra.ArbitraryArgs, RunE: group,
	}
	for _, add := range []bool{true, false} {
		member.AddCommand(c.withFile(c.withJSON(c.groupMember(add))))
	}
	for _, sub := range []*cobra.Command{
		c.groupList(), c.groupShow(), c.groupAdd(), c.groupMay("authorise", "Let the members of a group use chat", true),
		c.groupMay("revoke", "Take back that a group may use chat", false), c.groupDelete(),
	} {
		cmd.AddCommand(c.withFile(c.withJSON(sub)))
	}
	cmd.AddCommand(member)
	return cmd
}

// tenantFlag adds --domain.
func tenantFlag(cmd *cobra.Command, domain *string) *cobra.Command {
	cmd.Flags().StringVar(domain, "domain", "", "for the tenant of this domain alone (default for all)")
	return cmd
}

// record returns the record meant by a name and --domain, written as it was the
// first time.
func (a *accounts) record(ctx context.Context, name, domain string) (people.Record, error) {
	if people.GroupKey(name) == "" {
		return people.Record{}, usage("%q is no name of a group", name)
	}
	r := people.Record{Name: name}
	if domain != "" {
		if err := a.served(domain); err != nil {
			return r, err
		}
		scope := people.NewScope(people.Mode(a.cfg.Scope.Mode), a.cfg.Domains, a.cfg.Scope.AllTenants())
		if scope == nil {
			return r, errors.New("--domain needs tenants: set scope.mode to tree or domain, or scope.tenants")
		}
		r.Domain = cmp.Or(scope.Tenant(domain), domain)
	}
	records, err := a.store.GroupRecords(ctx)
	for _, x := range records {
		if people.GroupKey(x.Name) == people.GroupKey(name) {
			r.Name = x.Name
		}
	}
	return r, err
}

// known returns what is said of groups, with those that local accounts are in.
func (a *accounts) known(ctx context.Context) ([]groupInfo, error) {
	records, err := a.store.GroupRecords(ctx)
	if err != nil {
		return nil, err
	}
	var list []groupInfo
	for _, r := range records {
		g := groupInfo{Name: r.Name, Domain: r.Domain, Authorised: r.Authorised}
		if r.Authorised {
			g.By = "command"
		}
		list = append(list, g)
	}
	at := func(name string) *groupInfo {
		for i := range list {
			if list[i].Domain == "" && people.GroupKey(list[i].Name) == people.GroupKey(name) {
				return &list[i]
			}
		}
		list = append(list, groupInfo{Name: name})
		return &list[len(list)-1]
	}
	for _, name := range a.cfg.Groups.Authorised {
		g := at(name)
		g.Authorised, g.By = true, "groups.authorised"
	}
	users, err := a.list(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		for _, name := range u.Groups {
			g := at(name)
			g.Members = append(g.Members, u.JID)
		}
	}
	for i := range list {
		if list[i].Domain != "" {
			list[i].Members = slices.Clone(at(list[i].Name).Members)
		}
	}
	for i := range list {
		list[i].Count = len(list[i].Members)
	}
	slices.SortFunc(list, func(x, y groupInfo) int {
		return strings.Compare(people.GroupKey(x.Name)+"\x00"+x.Domain, people.GroupKey(y.Name)+"\x00"+y.Domain)
	})
	return list, nil
}

func (g groupInfo) may() string {
	if g.Authorised {
		return "authorised"
	}
	return "-"
}

func (c *cli) groupList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the groups that are known here",
		Long: `List the groups of local accounts and those something is said of. Members are
the local ones; those of a directory are not counted.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withAccounts(cmd.Context(), false, func(a *accounts) error {
				list, err := a.known(cmd.Context())
				if err != nil {
					return err
				}
				for i := range list {
					list[i].Members = nil
				}
				return c.print(list, func(w *table) {
					w.row("GROUP", "CHAT", "MEMBERS", "DOMAIN")
					for _, g := range list {
						w.row(g.Name, g.may(), strconv.Itoa(g.Count), g.Domain)
					}
				})
			})
		},
	}
}

func (c *cli) groupShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show GROUP",
		Short: "Show a group and its local members",
		Args:  exactly("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withAccounts(cmd.Context(), false, func(a *accounts) error {
				list, err := a.known(cmd.Context())
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(list, func(g groupInfo) bool { return people.GroupKey(g.Name) != people.GroupKey(args[0]) })
				if len(list) == 0 {
					return fmt.Errorf("there is no group %q here; deskline group list shows them", args[0])
				}
				return c.print(list, func(w *table) {
					for _, g := range list {
						w.row("group", g.Name)
						w.row("domain", dash(g.Domain))
						w.row("chat", g.may())
						w.row("by", dash(g.By))
						w.row("members", strings.Join(g.Members, ", "))
					}
				})
			})
		},
	}
}

func (c *cli) groupAdd() *cobra.Command {
	var domain string
	return tenantFlag(&cobra.Command{
		Use:   "add GROUP",
		Short: "Add a group, which may not use chat until it is authorised",
		Args:  exactly("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeGroup(cmd.Context(), args[0], domain, "added", func(a *accounts, r people.Record) error {
				records, err := a.store.GroupRecords(cmd.Context())
				if err != nil {
					return err
				}
				if slices.ContainsFunc(records, func(x people.Record) bool { return x.Key() == r.Key() }) {
					return fmt.Errorf("the group %q is there already", r.Name)
				}
				return a.store.SaveGroupRecord(cmd.Context(), r)
			})
		},
	}, &domain)
}

// groupMay makes authorise and revoke.
func (c *cli) groupMay(word, short string, may bool) *cobra.Command {
	var domain string
	return tenantFlag(&cobra.Command{
		Use:   word + " GROUP",
		Short: short,
		Args:  exactly("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			done := map[bool]string{true: "may use chat", false: "may not use chat any more"}[may]
			return c.changeGroup(cmd.Context(), args[0], domain, done, func(a *accounts, r people.Record) error {
				named := slices.ContainsFunc(a.cfg.Groups.Authorised, func(n string) bool { return people.GroupKey(n) == people.GroupKey(r.Name) })
				if named && !may {
					return fmt.Errorf("%q is authorised by groups.authorised of %s: take it out there, then reload", r.Name, c.fileName())
				}
				r.Authorised = may
				return a.store.SaveGroupRecord(cmd.Context(), r)
			})
		},
	}, &domain)
}

func (c *cli) changeGroup(ctx context.Context, name, domain, word string, act func(*accounts, people.Record) error) error {
	return c.withAccounts(ctx, true, func(a *accounts) error {
		r, err := a.record(ctx, name, domain)
		if err != nil {
			return err
		}
		if err := act(a, r); err != nil {
			return err
		}
		return c.print(named{Group: r.Name, Done: word}, func(w *table) { w.row(r.Name + " " + word) })
	})
}
