package load

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every
// architecture Go runs on.
const tick = 10 * time.Millisecond

// Process is a server's process with all its children.
type Process int

// CPU returns the user and system time that the processes have used.
func (p Process) CPU() (time.Duration, error) {
	var sum time.Duration
	err := p.each(func(_ int, fields [][]byte) error {
		user, err := strconv.ParseInt(string(fields[11]), 10, 64)
		if err != nil {
			return fmt.Errorf("read user time: %w", err)
		}
		system, err := strconv.ParseInt(string(fields[12]), 10, 64)
		if err != nil {
			return fmt.Errorf("read system time: %w", err)
		}
		sum += time.Duration(user+system) * tick
		return nil
	})
	return sum, err
}

// RSS returns the resident memory of the processes in bytes.
func (p Process) RSS() (int64, error) {
	var sum int64
	err := p.each(func(pid int, _ [][]byte) error {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return fmt.Errorf("read memory: %w", err)
		}
		_, rest, _ := bytes.Cut(b, []byte("VmRSS:"))
		line, _, _ := bytes.Cut(rest, []byte("kB"))
		kb, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
		if err != nil {
			return fmt.Errorf("read memory: %w", err)
		}
		sum += kb << 10
		return nil
	})
	return sum, err
}

// machine returns the time that all processors together have worked.
func machine() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read processor times: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	var sum time.Duration
	for i, field := range bytes.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // the name, idle, waiting for disks, guests
			continue
		}
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read processor times: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// own returns the time that the load generator itself has used.
func own() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read own times: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// each calls f with the pid and the stat fields (from the state on) of the
// process and its descendants.
func (p Process) each(f func(pid int, fields [][]byte) error) error {
	stats := map[int][][]byte{}
	children := map[int][]int{}
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(fields) < 13 {
			continue
		}
		parent, err := strconv.Atoi(string(fields[1]))
		if err != nil {
			continue
		}
		stats[pid], children[parent] = fields, append(children[parent], pid)
	}
	if stats[int(p)] == nil {
		return fmt.Errorf("process %d is gone", int(p))
	}
	for queue := []int{int(p)}; len(queue) > 0; queue = queue[1:] {
		if err := f(queue[0], stats[queue[0]]); err != nil {
			return err
		}
		queue = append(queue, children[queue[0]]...)
	}
	return nil
}
