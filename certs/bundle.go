package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
)

// Bundle is what an authority hands over: certificates in any order, perhaps
// with a key.
type Bundle struct {
	Certs []*x509.Certificate
	Key   crypto.Signer // nil = none
}

// ParseBundle reads PEM, DER, or PKCS #7 (RFC 2315) in either: the forms in which
// authorities send certificates.
func ParseBundle(data []byte) (b Bundle, err error) {
	if len(data) > maxFile {
		return b, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		if b.Certs, err = x509.ParseCertificates(data); err != nil {
			if b.Certs, err = pkcs7(data); err != nil {
				return b, errors.New("it is neither a certificate in PEM or DER nor PKCS #7")
			}
		}
		return b, b.check()
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var list []*x509.Certificate
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
			list, err = x509.ParseCertificates(block.Bytes)
		case "PKCS7", "CMS":
			list, err = pkcs7(block.Bytes)
		}
		if err != nil {
			return b, fmt.Errorf("certificate %d: %w", len(b.Certs)+1, err)
		}
		b.Certs = append(b.Certs, list...)
	}
	if b.Key, err = privateKey(data); err != nil && !errors.Is(err, errNoKey) {
		return b, err
	}
	return b, b.check()
}

func (b Bundle) check() error {
	switch {
	case len(b.Certs) > maxChain:
		return fmt.Errorf("it has more than %d certificates", maxChain)
	case len(b.Certs) == 0 && b.Key == nil:
		return errors.New("it has neither a certificate nor a private key")
	}
	return nil
}

var oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

// pkcs7 returns the certificates of signed data, whose signatures nobody looks
// at: each certificate has its own.
func pkcs7(der []byte) ([]*x509.Certificate, error) {
	var content struct {
		Type asn1.ObjectIdentifier
		Data asn1.RawValue // [0], in it the signed data
	}
	if _, err := asn1.Unmarshal(der, &content); err != nil {
		return nil, fmt.Errorf("read PKCS #7: %w", err)
	}
	if !content.Type.Equal(oidSignedData) {
		return nil, errors.New("read PKCS #7: it is no signed data")
	}
	certificates, err := signedCertificates(content.Data.Bytes)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseCertificates(certificates)
	if err != nil {
		return nil, fmt.Errorf("read PKCS #7: %w", err)
	}
	return list, nil
}

// signedCertificates finds the field behind those of the content (RFC 2315 §9.1).
func signedCertificates(der []byte) ([]byte, error) {
	var sequence asn1.RawValue
	if _, err := asn1.Unmarshal(der, &sequence); err != nil {
		return nil, fmt.Errorf("read PKCS #7: %w", err)
	}
	for rest := sequence.Bytes; len(rest) > 0; {
		var field asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &field); err != nil {
			return nil, fmt.Errorf("read PKCS #7: %w", err)
		}
		if field.Class == asn1.ClassContextSpecific && field.Tag == 0 {
			return field.Bytes, nil
		}
	}
	return nil, errors.New("read PKCS #7: it has no certificates")
}
