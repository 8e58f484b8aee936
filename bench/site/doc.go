// Package site is a cluster to be tormented: real nodes and a Redis, each on a host
// with a network of its own, so that one can be cut off from another, in either
// direction, and BOSH clients that go where they are answered. It runs in
// namespaces that nobody else sees and that end with the program; it needs
// Linux, and root or user namespaces.
//
//	if !site.Inside() {
//		return site.Enter(ctx)
//	}
//	hosts, err := site.BuildHosts(ctx, 3)
//	s, err := site.Start(ctx, cfg, hosts, dir, false)
//	err = s.Nodes[0].End(syscall.SIGKILL)
package site
