package pack_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/pack"
)

func TestRoundTrip(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	data := pack.Uint(nil, 1<<63)
	data = pack.Bool(pack.Bool(data, true), false)
	data = pack.String(data, "é")
	data = pack.Bytes(pack.Bytes(data, []byte{0, 255}), nil)
	data = pack.Time(pack.Time(data, at), time.Time{})
	data = pack.Duration(data, 90*time.Second)
	r := pack.NewReader(data)
	if n := r.Uint(); n != 1<<63 {
		t.Error(n)
	}
	if !r.Bool() || r.Bool() {
		t.Error("truth")
	}
	if s := r.String(); s != "é" {
		t.Error(s)
	}
	if b := r.Bytes(); !bytes.Equal(b, []byte{0, 255}) || r.Bytes() != nil {
		t.Error(b)
	}
	if got := r.Time(); !got.Equal(at) || !r.Time().IsZero() {
		t.Error(got)
	}
	if d := r.Duration(); d != 90*time.Second || r.Err() != nil || r.Len() != 0 {
		t.Error(d, r.Err(), r.Len())
	}
	if r.Uint(); r.Err() == nil {
		t.Error("read beyond the end")
	}
}

func FuzzReader(f *testing.F) {
	f.Add(pack.String(pack.Uint(nil, 3), "abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := pack.NewReader(data)
		for r.Len() > 0 && r.Err() == nil {
			r.Uint()
			_ = r.Bytes()
			_ = r.Bool()
			_ = r.Time()
			_ = r.Duration()
		}
		if len(r.String()) > len(data) {
			t.Fatal("more than there was")
		}
	})
}
