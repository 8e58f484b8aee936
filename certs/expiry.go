package certs

import (
	"context"
	"log/slog"
	"time"
)

// warnAt are the times before the end at which the log says that a certificate
// is about to expire, and at the last of them each day.
var warnAt = []time.Duration{30 * day, 14 * day, 7 * day, day}

const day = 24 * time.Hour

// warned is what the log has said of a certificate.
type warned struct {
	at    time.Time
	stage int // how many of warnAt had passed
}

// warn says which certificates in service are about to expire or have expired:
// when they come to one of warnAt, once a day at most, and each day at the end.
// One made here is renewed before.
func (k *Keeper) warn() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.cfg.Now()
	said := map[string]warned{}
	for _, p := range k.set.Load().all {
		leaf := p.cert.Leaf
		left := leaf.NotAfter.Sub(now)
		stage := 0
		for _, d := range warnAt {
			if left <= d {
				stage++
			}
		}
		if stage == 0 || p.selfSigned {
			continue
		}
		sum := fingerprint(leaf)
		w, before := k.warned[sum]
		due := !before || now.Sub(w.at) >= day && (stage > w.stage || stage == len(warnAt))
		if !due {
			if before {
				said[sum] = w
			}
			continue
		}
		said[sum] = warned{at: now, stage: stage}
		level, text := slog.LevelWarn, "certificate is about to expire"
		if left <= 0 {
			level, text = slog.LevelError, "certificate has expired"
		}
		k.cfg.Log.Log(context.Background(), level, text, "file", p.file, "names", names(leaf),
			"until", leaf.NotAfter.UTC().Format(time.RFC3339), "days_left", daysLeft(leaf.NotAfter, now))
	}
	k.warned = said
}

// daysLeft counts whole days; below zero they have passed.
func daysLeft(until, now time.Time) int {
	left := until.Sub(now)
	if left < 0 {
		return -int((-left + day - 1) / day)
	}
	return int(left / day)
}
