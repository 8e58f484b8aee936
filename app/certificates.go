package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/certs/acme"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/web"
)

// CertConfig says where the certificates of a node are.
func CertConfig(cfg configs.Config, log *slog.Logger) certs.Config {
	return certs.Config{Source: certSource(cfg), Dir: cfg.DataDir, Log: log}
}

func certSource(cfg configs.Config) certs.Source {
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, cfg.Domains...)
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	return certs.Source{
		CertFile: cfg.Certs.CertFile, KeyFile: cfg.Certs.KeyFile, Folder: cfg.Certs.Dir, Hosts: append(hosts, cfg.Certs.Hosts...),
	}
}

// soonDays is when a certificate is about to expire for an administrator.
const soonDays = 30

func checkCerts(ctx context.Context, cfg configs.Config) []CheckResult {
	list, bad, err := certs.Inspect(CertConfig(cfg, discard()))
	if err != nil {
		return []CheckResult{{Name: "certs", Err: err}}
	}
	var results []CheckResult
	for _, info := range list {
		r := CheckResult{Name: "certs", Detail: fmt.Sprintf("%s, %s, valid until %s", info.File, strings.Join(info.Names, " "), info.NotAfter.Format(time.DateOnly))}
		switch {
		case info.DaysLeft < 0:
			r.Err = fmt.Errorf("%s has expired at %s", info.File, info.NotAfter.Format(time.RFC3339))
		case time.Now().Before(info.NotBefore):
			r.Err = fmt.Errorf("%s is not valid before %s", info.File, info.NotBefore.Format(time.RFC3339))
		case info.DaysLeft < soonDays && !info.Made:
			r.Warning = fmt.Sprintf("%s expires in %d days", info.File, info.DaysLeft)
		}
		if info.Made {
			r.Detail, r.Err = fmt.Sprintf("self-signed, valid until %s, then made anew", info.NotAfter.Format(time.DateOnly)), nil
		}
		results = append(results, r)
	}
	if len(list) == 0 {
		results = append(results, CheckResult{Name: "certs", Detail: "self-signed, made at the first start"})
	}
	for _, p := range bad {
		results = append(results, CheckResult{Name: "certs", Err: fmt.Errorf("%s cannot be used: %w", p.File, p.Err)})
	}
	return append(results, checkACME(ctx, cfg, list)...)
}

// handleCertificates tells operators what is in service.
func (n *node) handleCertificates() {
	n.admin.HandleJSON("GET /certificates", func() any { return NewCertificateReport(n.certs.List(), n.certificateProblems()) })
}

// CertificateReport is what a node has in service and cannot use.
type CertificateReport struct {
	Certificates []certs.Info         `json:"certificates"`
	Problems     []CertificateProblem `json:"problems"`
}

// CertificateProblem is a file that cannot be used.
type CertificateProblem struct {
	File  string `json:"file"`
	Error string `json:"error"`
	Kept  bool   `json:"last_good_one_stays"`
}

// NewCertificateReport puts what package certs says into words for JSON.
func NewCertificateReport(list []certs.Info, bad []certs.Problem) CertificateReport {
	r := CertificateReport{Certificates: list, Problems: []CertificateProblem{}}
	for _, p := range bad {
		r.Problems = append(r.Problems, CertificateProblem{File: p.File, Error: p.Err.Error(), Kept: p.Kept})
	}
	return r
}

// maxExpiries bounds the names in the metric.
const maxExpiries = 500

// expiryMetric tells for each name how long the certificate that its clients get
// is valid.
func (n *node) expiryMetric() admin.Labelled {
	return admin.Labelled{
		Name: "deskline_certificate_expiry_seconds", Help: "Time until the certificate in service for a name expires; below zero it has.",
		Labels: []string{"name"},
		Read: func(emit func(float64, ...string)) {
			left := map[string]time.Duration{}
			for _, info := range n.certs.List() {
				used := info.UsedFor
				if info.Standard {
					used = slices.Concat(used, info.Names)
				}
				for _, name := range used {
					// Of two with different keys the one that ends first counts.
					if d, ok := left[name]; (!ok && len(left) < maxExpiries) || ok && cmp.Less(time.Until(info.NotAfter), d) {
						left[name] = time.Until(info.NotAfter)
					}
				}
			}
			for name, d := range left {
				emit(d.Seconds(), name)
			}
		},
	}
}

// certificate is what the pages tell about the certificate for a host.
func (n *node) certificate(host string) web.Certificate {
	s := n.certs.For(host)
	out := web.Certificate{
		PEM: s.Chain, Fingerprint: s.SHA256, Names: s.Names, Issuer: s.Issuer, NotBefore: s.NotBefore, NotAfter: s.NotAfter, SelfSigned: s.SelfSigned, Root: s.Root,
	}
	if s.Anchor != nil {
		anchor := certs.Describe(s.Anchor, time.Now())
		out.Anchor, out.AnchorName, out.AnchorFingerprint = s.Anchor.Raw, anchor.Subject, anchor.SHA256
		if !s.Root {
			out.AnchorName = anchor.Issuer // whom a browser has to know
		}
	}
	return out
}

// acmeConfig is what gets certificates from an authority.
func acmeConfig(cfg configs.Config, log *slog.Logger) acme.Config {
	a := cfg.Certs.ACME
	out := acme.Config{
		Dir: CertConfig(cfg, log).ACME(), Directory: a.Directory, Email: a.Email, Agree: a.Agree, CAFile: a.CAFile, Hosts: a.Hosts, Challenge: a.Challenge, Log: log,
	}
	if host, port, err := net.SplitHostPort(cfg.HTTP.Listen); err == nil {
		out.Host = host
		out.Port, _ = strconv.Atoi(port) // validated; a free one cannot be known yet
	}
	return out
}

// buildCerts loads the certificates, and sets up what renews them if asked for.
func (n *node) buildCerts() (err error) {
	cfg := CertConfig(n.cfg, n.log)
	if n.cfg.Certs.ACME.Enabled {
		if n.acme, err = acme.New(acmeConfig(n.cfg, n.log)); err != nil {
			return err
		}
		cfg.Challenge, cfg.Asks, cfg.Protocols = n.acme.Challenge, acme.Asks, []string{acme.Protocol}
	}
	if n.certs, err = certs.New(cfg); err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	return nil
}

// plainPrefix is what an authority asks for without TLS.
func (n *node) plainPrefix() string {
	if n.acme == nil || n.cfg.Certs.ACME.Challenge == acme.TLSALPN {
		return ""
	}
	return acme.ChallengePath
}

// certificateProblems are files that cannot be used and names without a
// certificate.
func (n *node) certificateProblems() []certs.Problem {
	list := n.certs.Problems()
	if n.acme == nil {
		return list
	}
	failed := n.acme.Failed()
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		list = append(list, certs.Problem{File: "acme: " + name, Err: failed[name]})
	}
	return list
}

// checkACME asks the authority for its directory, and looks for a certificate of
// each name.
func checkACME(ctx context.Context, cfg configs.Config, list []certs.Info) []CheckResult {
	a := cfg.Certs.ACME
	if !a.Enabled {
		return nil
	}
	r := CheckResult{Name: "acme", Detail: a.Directory, Err: acme.Reach(ctx, acmeConfig(cfg, discard()))}
	var missing []string
	for _, host := range a.Hosts {
		if !slices.ContainsFunc(list, func(i certs.Info) bool { return !i.Made && slices.Contains(i.Names, host) }) {
			missing = append(missing, host)
		}
	}
	if len(missing) > 0 {
		r.Warning = "no certificate yet for " + strings.Join(missing, ", ") + ": a node that runs gets it, and tells in its log why it cannot"
	}
	return []CheckResult{r}
}
