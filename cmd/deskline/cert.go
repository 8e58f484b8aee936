package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/configs"
)

func (c *cli) cert() *cobra.Command {
	cmd := &cobra.Command{Use: "cert", Short: "See, ask for and install certificates", Args: cobra.ArbitraryArgs, RunE: group}
	for _, sub := range []*cobra.Command{c.certShow(), c.certSelfSigned(), c.certCSR(), c.certImport()} {
		sub.Flags().StringVar(&c.admin, "admin", "", "address of the node's admin port (without: admin.listen of the configuration)")
		cmd.AddCommand(c.withFile(c.withJSON(sub)))
	}
	return cmd
}

// certConfig is where the certificates of the configuration are.
func (c *cli) certConfig() (certs.Config, configs.Config, error) {
	cfg, err := configs.Load(c.file)
	return app.CertConfig(cfg, slog.New(slog.DiscardHandler)), cfg, err
}

// shown is what cert show prints.
type shown struct {
	From string `json:"from"` // the node's address, or "files"
	app.CertificateReport
}

func (c *cli) certShow() *cobra.Command {
	var files bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the certificates in service: names, issuer, expiry, fingerprint, and for which names",
		Long: `Show what the node that runs on this machine has in service, and what it cannot
use. If none runs, or with --files, show what one would serve. Exit code 1 if
a certificate has expired or a file cannot be used.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.certificates(cmd.Context(), files)
			if err != nil {
				return err
			}
			if err := c.printCertificates(s); err != nil {
				return err
			}
			if len(s.Problems) > 0 || slices.ContainsFunc(s.Certificates, func(i certs.Info) bool { return i.DaysLeft < 0 }) {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&files, "files", false, "do not ask the node, read the files")
	return cmd
}

func (c *cli) certificates(ctx context.Context, files bool) (s shown, err error) {
	if !files {
		if err = c.request(ctx, http.MethodGet, "/certificates", nil, &s.CertificateReport); err == nil {
			s.From, _ = c.adminAddr()
			return s, nil
		}
		if c.admin != "" {
			return s, err // that very node was meant
		}
	}
	cc, _, err := c.certConfig()
	if err != nil {
		return s, err
	}
	list, bad, err := certs.Inspect(cc)
	return shown{From: "files", CertificateReport: app.NewCertificateReport(list, bad)}, err
}

func (c *cli) printCertificates(s shown) error {
	return c.print(s, func(w *table) {
		switch {
		case s.From != "files":
			w.row("In service at the node " + s.From + ":")
		case len(s.Certificates) == 0:
			w.row("No certificate yet: the first start makes a self-signed one.")
		default:
			w.row("No node was asked; the files have:")
		}
		for _, info := range s.Certificates {
			w.row("")
			printCertificate(w, info)
		}
		for _, p := range s.Problems {
			kept := ""
			if p.Kept {
				kept = "; the last good one stays"
			}
			w.row("")
			w.row("CANNOT BE USED", p.File)
			w.row("", p.Error+kept)
		}
	})
}

func printCertificate(w *table, info certs.Info) {
	issuer := info.Issuer
	switch {
	case info.Made:
		issuer = "self-signed, made by the node"
	case info.SelfSigned:
		issuer = "self-signed"
	}
	left := fmt.Sprintf("%d days left", info.DaysLeft)
	if info.DaysLeft < 0 {
		left = "EXPIRED"
	}
	w.row("names", strings.Join(info.Names, " "))
	w.row("issuer", issuer)
	w.row("valid", fmt.Sprintf("%s to %s, %s", info.NotBefore.Format(time.DateOnly), info.NotAfter.Format(time.DateTime)+" UTC", left))
	w.row("SHA-256", info.SHA256)
	w.row("key", fmt.Sprintf("%s, %d in the chain", info.Key, info.Chain))
	if info.File != "" {
		w.row("file", info.File)
	}
	used := slices.Clone(info.UsedFor)
	if info.Standard {
		used = append(used, "clients that name no host, or another one")
	}
	if len(used) == 0 {
		used = []string{"nothing"}
	}
	w.row("used for", strings.Join(used, ", "))
}

func (c *cli) certSelfSigned() *cobra.Command {
	return &cobra.Command{
		Use:   "self-signed",
		Short: "Make the self-signed certificate anew",
		Long: `Make the self-signed certificate and its key anew, as after the key has become
known. A node that runs takes it within a second. Whoever trusts the old one has
to trust the new one.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cc, _, err := c.certConfig()
			if err != nil {
				return err
			}
			info, err := certs.MakeSelfSigned(cc)
			if err != nil {
				return err
			}
			list, _, _ := certs.Inspect(cc) // broken ones are configured all the same
			if !slices.ContainsFunc(list, func(i certs.Info) bool { return i.SHA256 == info.SHA256 }) && !c.json {
				fmt.Fprintln(c.errOut, "deskline: warning: not in use: there are other certificates, see deskline cert show")
			}
			return c.print(info, func(w *table) {
				w.row("names", strings.Join(info.Names, " "))
				w.row("valid", "to "+info.NotAfter.Format(time.DateOnly))
				w.row("SHA-256", info.SHA256)
				w.row("file", info.File)
			})
		},
	}
}

// asked is what cert csr prints.
type asked struct {
	Names   []string `json:"names"`
	KeyFile string   `json:"key_file"`
	CSR     string   `json:"csr"`
}

func (c *cli) certCSR() *cobra.Command {
	var r certs.Request
	var out string
	cmd := &cobra.Command{
		Use:   "csr",
		Short: "Make a certificate signing request (PKCS #10)",
		Long: `Make a request to send to an authority, with the names of the configuration
(domains, certs.hosts, http.public_url, cluster.public_url) and those given. The
new key waits in data_dir, readable for the node alone; "deskline cert import"
joins the certificate to it. Nothing that runs is changed.`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			if r.RSA && r.Present {
				return usage("--rsa is for a new key, not with --present-key")
			}
			cc, cfg, err := c.certConfig()
			if err != nil {
				return err
			}
			hosts := r
			hosts.Hosts = requestHosts(cfg, r.Hosts)
			if len(hosts.Hosts) == 0 {
				return usage("the configuration has no name that an authority would certify: give one with --host")
			}
			a, err := certs.Ask(cc, hosts)
			if err != nil {
				return err
			}
			return c.printRequest(a, out)
		},
	}
	cmd.Flags().StringArrayVar(&r.Hosts, "host", nil, "a further name or address; more than once for more")
	cmd.Flags().StringVar(&r.Organization, "organization", "", "the organization to name")
	cmd.Flags().BoolVar(&r.RSA, "rsa", false, "an RSA key of 3072 bits instead of ECDSA P-256")
	cmd.Flags().BoolVar(&r.Present, "present-key", false, "the key in service instead of a new one")
	cmd.Flags().StringVarP(&out, "out", "o", "-", "file for the request; - is the standard output")
	return cmd
}

func (c *cli) printRequest(a certs.Asked, out string) error {
	if out != "-" {
		if err := os.WriteFile(out, a.PEM, 0o644); err != nil {
			return fmt.Errorf("write request: %w", err)
		}
	}
	if c.json {
		return c.printJSON(asked{a.Names, a.KeyFile, string(a.PEM)})
	}
	if out == "-" {
		if _, err := c.out.Write(a.PEM); err != nil {
			return fmt.Errorf("write request: %w", err)
		}
	}
	fmt.Fprintf(c.errOut, "Request for %s.\nThe key is in %s and stays there.\nThen: deskline cert import CHAIN.pem\n", strings.Join(a.Names, ", "), a.KeyFile)
	return nil
}

// requestHosts are the names of the configuration that an authority may certify,
// and those given.
func requestHosts(cfg configs.Config, more []string) (hosts []string) {
	list := slices.Concat(cfg.Domains, cfg.Certs.Hosts)
	for _, address := range []string{cfg.HTTP.PublicURL, cfg.Cluster.PublicURL} {
		if u, err := url.Parse(address); err == nil {
			list = append(list, u.Hostname())
		}
	}
	for _, host := range append(list, more...) {
		if host != "" && host != "localhost" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// readBundle reads a file that an authority has sent; - is the standard input.
func (c *cli) readBundle(name string) (certs.Bundle, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(io.LimitReader(c.in, 2<<20))
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return certs.Bundle{}, err
	}
	b, err := certs.ParseBundle(data)
	if err != nil {
		return b, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}
