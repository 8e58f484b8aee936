//go:build unix

package certs

import (
	"io/fs"
	"os"
	"syscall"
)

// likeOwner gives path to the owner of another one, if we may: root alone can.
func likeOwner(path, other string) error {
	info, err := os.Stat(other)
	if err != nil {
		return nil
	}
	return giveTo(path, info)
}

// keepOwner lets replace put another file at path, and gives it to the owner of
// the one before.
func keepOwner(path string, replace func() error) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := replace(); err != nil {
		return err
	}
	return giveTo(path, info)
}

func giveTo(path string, info fs.FileInfo) error {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}
