package asterisktest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// install is where Asterisk is: installed, or unpacked below a folder.
type install struct{ root, modules string }

// unpacked is where scripts/install.sh puts the packages of another Debian.
const unpacked = "/opt/deskline-asterisk"

func find() (install, error) {
	for _, root := range []string{os.Getenv("DESKLINE_ASTERISK"), "/", unpacked} {
		if root == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, "usr/sbin/asterisk")); err != nil {
			continue
		}
		for _, pattern := range []string{"usr/lib/asterisk/modules", "usr/lib/*/asterisk/modules", "usr/lib64/asterisk/modules"} {
			if dirs, _ := filepath.Glob(filepath.Join(root, pattern, "chan_pjsip.so")); len(dirs) > 0 {
				return install{root, filepath.Dir(dirs[0])}, nil
			}
		}
	}
	return install{}, errors.New("asterisk is missing: run scripts/install.sh, or apt-get install asterisk where there is one")
}

// command runs Asterisk, by the loader and libraries it was unpacked with.
func (in install) command(ctx context.Context, args ...string) *exec.Cmd {
	path := filepath.Join(in.root, "usr/sbin/asterisk")
	if in.root == "/" {
		return exec.CommandContext(ctx, path, args...)
	}
	var libs []string
	loader := ""
	for _, dir := range []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib", "usr/lib"} {
		dir = filepath.Join(in.root, dir)
		libs = append(libs, dir)
		if found, _ := filepath.Glob(filepath.Join(dir, "ld-[l2]*.so*")); len(found) > 0 && loader == "" {
			loader = found[0]
		}
	}
	return exec.CommandContext(ctx, loader, append([]string{"--library-path", strings.Join(libs, ":"), path}, args...)...)
}
