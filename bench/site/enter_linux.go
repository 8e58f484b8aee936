package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// insideEnv tells the program that it runs in namespaces of its own.
const insideEnv = "DESKLINE_SOAK_INSIDE"

// Inside reports whether the program runs in namespaces of its own.
func Inside() bool { return os.Getenv(insideEnv) != "" }

// Enter runs this program again in a network, mounts and processes of its own
// and returns its exit code. Whatever it starts there ends with it, and no
// interface or namespace is left, however it ends.
func Enter(ctx context.Context) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 1, fmt.Errorf("find the program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), nil
	case err != nil:
		return 1, fmt.Errorf("this needs network namespaces: run it as root with CAP_SYS_ADMIN, or allow user namespaces: %w", err)
	}
	return 0, nil
}
