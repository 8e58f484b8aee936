package configs

import (
	"net/url"
	"strconv"
	"strings"
)

// checkRedis looks at the keys whether the store is of that kind or not, so
// that a file is right before the store is changed.
func (l *loader) checkRedis() {
	r := l.cfg.Redis
	l.checkRedisURL(r.URL)
	switch {
	case r.Sentinel.Master != "" && len(r.Cluster.Addrs) > 0:
		l.add("redis.cluster.addrs", "redis.sentinel.master is set too, keep one of them")
	case r.Sentinel.Master != "" && len(r.Sentinel.Addrs) == 0:
		l.add("redis.sentinel.addrs", "is empty, name the Sentinels of %s", r.Sentinel.Master)
	case r.Sentinel.Master == "" && len(r.Sentinel.Addrs) > 0:
		l.add("redis.sentinel.master", "is empty, name the master the Sentinels watch")
	case r.Replicas > 0 && len(r.Cluster.Addrs) > 0:
		l.add("redis.replicas", "cannot be waited for with a cluster, set min-replicas-to-write there")
	case r.DB > 0 && len(r.Cluster.Addrs) > 0:
		l.add("redis.db", "a cluster has no databases")
	}
	l.checkRedisAddrs("redis.sentinel.addrs", r.Sentinel.Addrs)
	l.checkRedisAddrs("redis.cluster.addrs", r.Cluster.Addrs)
	if r.Username != "" && r.Password == "" {
		l.add("redis.password", "is missing for user %s", r.Username)
	}
	if r.Prefix == "" || strings.ContainsAny(r.Prefix, "{} \t\r\n*?[]") {
		l.add("redis.prefix", "%q is no prefix such as deskline:", r.Prefix)
	}
	if (r.TLS.CertFile == "") != (r.TLS.KeyFile == "") {
		missing := "redis.tls.key_file"
		if r.TLS.CertFile == "" {
			missing = "redis.tls.cert_file"
		}
		l.add(missing, "is missing, redis.tls.cert_file and redis.tls.key_file go together")
	}
}

func (l *loader) checkRedisURL(text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "redis" && u.Scheme != "rediss", u.Hostname() == "", u.RawQuery != "", u.Fragment != "":
		// Not told, for it may have a password.
		l.add("redis.url", "is no address such as redis://127.0.0.1:6379/0")
		return
	case u.User != nil:
		l.add("redis.url", "has a user, who belongs to redis.username and redis.password or redis.password_file")
	}
	if db := strings.TrimPrefix(u.Path, "/"); db != "" {
		if n, err := strconv.Atoi(db); err != nil || n < 0 {
			l.add("redis.url", "the database behind the address, %q, is no number", db)
		}
	}
}

func (l *loader) checkRedisAddrs(key string, addrs []string) {
	for _, a := range addrs {
		if err := checkAddr(a); err != nil || strings.HasPrefix(a, ":") {
			l.add(key, "%q is no address such as redis1.example.com:6379", a)
		}
	}
}
