package site

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Host is a machine of the test's network: a network namespace at a bridge.
// That of the clients is the program's own.
type Host struct{ Name, Addr string }

const (
	bridge = "br0"
	// nowhere is a hardware address that no host has: what is sent to it gets
	// lost without an error, as in a partition.
	nowhere = "02:00:00:00:00:01"
)

// memory is a folder for what Redis writes, as a disk would take it that nobody
// else is busy with. What a process has written survives its being killed.
const memory = "/run/memory"

// Clients is the host that the program itself is on.
var Clients = &Host{Name: "clients", Addr: "10.78.0.1"}

// buildBridge makes the switch that all hosts are at. Mounts are the program's
// own, so that ip keeps its names out of the machine's /run.
func buildBridge(ctx context.Context) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, dir := range []string{"/run/netns", memory} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", dir, err)
		}
	}
	return ip(ctx,
		"link set lo up",
		"link add "+bridge+" type bridge",
		"addr add "+Clients.Addr+"/24 dev "+bridge,
		"link set "+bridge+" up")
}

// newHost adds the host with the last number of its address.
func newHost(ctx context.Context, name string, number int) (*Host, error) {
	h := &Host{Name: name, Addr: fmt.Sprintf("10.78.0.%d", number)}
	return h, ip(ctx,
		"netns add "+name,
		"link add to-"+name+" type veth peer name eth0 netns "+name,
		"link set to-"+name+" master "+bridge+" up",
		"-n "+name+" addr add "+h.Addr+"/24 dev eth0",
		"-n "+name+" link set eth0 up",
		"-n "+name+" link set lo up")
}

func ip(ctx context.Context, commands ...string) error {
	for _, c := range commands {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", c, err, out)
		}
	}
	return nil
}

// neighbour is the ip command about another host in h's table.
func (h *Host) neighbour(verb string, to *Host, more string) string {
	if h == Clients {
		return "neigh " + verb + " " + to.Addr + " " + more + " dev " + bridge
	}
	return "-n " + h.Name + " neigh " + verb + " " + to.Addr + " " + more + " dev eth0"
}

// Cut loses all that goes from one host to another, silently; the way back
// stays.
func Cut(ctx context.Context, from, to *Host) error {
	return ip(ctx, from.neighbour("replace", to, "lladdr "+nowhere+" nud permanent"))
}

// Heal undoes Cut.
func Heal(ctx context.Context, from, to *Host) error {
	return ip(ctx, from.neighbour("del", to, ""))
}

// command is how a program is run on the host.
func (h *Host) command(argv []string) []string {
	if h == Clients {
		return argv
	}
	return append([]string{"ip", "netns", "exec", h.Name}, argv...)
}
