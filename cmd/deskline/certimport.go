package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/certs"
)

// takeTime is how long a node may need to take a certificate.
const takeTime = 5 * time.Second

// certTaken is what cert import prints.
type certTaken struct {
	certs.Imported
	InService bool `json:"in_service"` // at the node that runs
}

func (c *cli) certImport() *cobra.Command {
	var in certs.Import
	var keyFile string
	var caFiles []string
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Install a certificate that an authority has issued, with its chain",
		Long: `Check a certificate and its chain and install them: the key has to be there (of
"deskline cert csr", in the file, or --key), the chain complete up to a known
authority, the dates right. PEM, DER and PKCS #7 are read; the order does not
matter. It goes to certs.cert_file and certs.key_file if they are set, else to
data_dir. A node that runs takes it within a second.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("FILE is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.readImport(&in, args, keyFile, caFiles); err != nil {
				return err
			}
			cc, cfg, err := c.certConfig()
			if err != nil {
				return err
			}
			cc.Hosts = requestHosts(cfg, nil)
			done, err := certs.Install(cc, in)
			if err != nil {
				return err
			}
			result := certTaken{Imported: done}
			if !in.Only {
				result.InService = c.taken(cmd.Context(), done.SHA256)
			}
			return c.printImported(result, in.Only)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file of the private key, if it is not this node's")
	cmd.Flags().StringArrayVar(&caFiles, "ca", nil, "file of the root of an authority of your own")
	cmd.Flags().BoolVar(&in.Incomplete, "incomplete", false, "install it though its chain ends at an unknown authority")
	cmd.Flags().BoolVar(&in.Only, "check", false, "check only, install nothing")
	return cmd
}

func (c *cli) readImport(in *certs.Import, files []string, keyFile string, caFiles []string) error {
	for _, name := range files {
		b, err := c.readBundle(name)
		if err != nil {
			return err
		}
		in.Certs = append(in.Certs, b.Certs...)
		if b.Key != nil {
			in.Keys = append(in.Keys, b.Key)
		}
	}
	if keyFile != "" {
		b, err := c.readBundle(keyFile)
		if err != nil {
			return err
		}
		if b.Key == nil {
			return fmt.Errorf("%s has no private key", keyFile)
		}
		in.Keys = append(in.Keys, b.Key)
	}
	for _, name := range caFiles {
		b, err := c.readBundle(name)
		if err != nil {
			return err
		}
		in.Roots = append(in.Roots, b.Certs...)
	}
	return nil
}

// taken waits until the node that runs has the certificate in service, if one
// runs.
func (c *cli) taken(ctx context.Context, sum string) bool {
	ctx, cancel := context.WithTimeout(ctx, takeTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var r app.CertificateReport
		if err := c.request(ctx, http.MethodGet, "/certificates", nil, &r); err != nil {
			return false
		}
		if slices.ContainsFunc(r.Certificates, func(i certs.Info) bool { return i.SHA256 == sum }) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

func (c *cli) printImported(r certTaken, only bool) error {
	if !c.json {
		for _, note := range r.Notes {
			fmt.Fprintf(c.errOut, "deskline: note: %s\n", note)
		}
	}
	return c.print(r, func(w *table) {
		info := r.Info
		switch {
		case only:
			w.row("It can be installed.")
		case r.InService:
			w.row("Installed and in service.")
		default:
			w.row("Installed; no node that runs was seen to serve it.")
		}
		w.row("")
		w.row("names", strings.Join(info.Names, " "))
		w.row("issuer", info.Issuer)
		w.row("valid", fmt.Sprintf("to %s, %d days left", info.NotAfter.Format(time.DateOnly), info.DaysLeft))
		w.row("SHA-256", info.SHA256)
		if info.File != "" {
			w.row("file", info.File)
		}
	})
}
