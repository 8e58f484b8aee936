package certs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/deskline/deskline/certs"
)

// FuzzParseBundle has to neither crash nor accept what has nothing in it.
func FuzzParseBundle(f *testing.F) {
	cert, key, err := certs.SelfSigned([]string{"example.com"}, start)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert)
	f.Add(append(bytes.Clone(cert), key...))
	f.Add([]byte("-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n"))
	f.Add([]byte{0x30, 0x0f, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02, 0xa0, 0x02, 0x30, 0x00})
	dir := f.TempDir()
	file := filepath.Join(dir, "a.pem")
	if openssl, err := exec.LookPath("openssl"); err == nil { // the seed alone needs it
		writeSeed(f, file, cert)
		for _, form := range []string{"DER", "PEM"} {
			out, err := exec.CommandContext(f.Context(), openssl, "crl2pkcs7", "-nocrl", "-outform", form, "-certfile", file).Output()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(out)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := certs.ParseBundle(data)
		if err == nil && len(b.Certs) == 0 && b.Key == nil {
			t.Error("nothing accepted")
		}
		for _, c := range b.Certs {
			certs.Describe(c, start)
		}
	})
}

func writeSeed(f *testing.F, file string, data []byte) {
	f.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		f.Fatal(err)
	}
}
