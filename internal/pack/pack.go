// Package pack writes plain values one after another, and reads them back. What
// is written begins with a version that its user chooses; fields are only ever
// added at the end under a new one.
//
//	data := pack.String(pack.Uint(nil, 7), "seven")
//	r := pack.NewReader(data)
//	n, s := r.Uint(), r.String()
//	err := r.Err() // of the first that failed
package pack

import (
	"encoding/binary"
	"errors"
	"time"
)

// ErrMalformed says that data are not what was written.
var ErrMalformed = errors.New("malformed data")

// Uint appends a number.
func Uint(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }

// Bool appends a truth value.
func Bool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// String appends a text.
func String(dst []byte, s string) []byte { return append(Uint(dst, uint64(len(s))), s...) }

// Bytes appends data.
func Bytes(dst, b []byte) []byte { return append(Uint(dst, uint64(len(b))), b...) }

// Time appends a moment, exact to the millisecond; the zero time stays zero.
func Time(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return Uint(dst, 0)
	}
	return Uint(dst, uint64(max(1, t.UnixMilli()))) //nolint:gosec // not negative
}

// Duration appends a time span, exact to the millisecond.
func Duration(dst []byte, d time.Duration) []byte {
	return Uint(dst, uint64(max(0, d.Milliseconds()))) //nolint:gosec // not negative
}

// Reader reads what was appended, in the same order. After the first failure
// everything it returns is zero.
type Reader struct {
	data []byte
	err  error
}

// NewReader reads from data, which must not change while what it returned is
// in use.
func NewReader(data []byte) *Reader { return &Reader{data: data} }

// Err returns the first failure.
func (r *Reader) Err() error { return r.err }

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.data) }

func (r *Reader) fail() {
	r.err, r.data = ErrMalformed, nil
}

// Uint reads a number.
func (r *Reader) Uint() uint64 {
	n, size := binary.Uvarint(r.data)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[size:]
	return n
}

// Count reads how many items follow, of at least one byte each.
func (r *Reader) Count() int {
	n := r.Uint()
	if n > uint64(len(r.data)) {
		r.fail()
		return 0
	}
	return int(n) //nolint:gosec // bounded above
}

// Bool reads a truth value.
func (r *Reader) Bool() bool {
	if len(r.data) == 0 || r.data[0] > 1 {
		r.fail()
		return false
	}
	v := r.data[0] == 1
	r.data = r.data[1:]
	return v
}

// Uint8 reads one byte that was appended as such.
func (r *Reader) Uint8() uint8 {
	if len(r.data) == 0 {
		r.fail()
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

// Bytes reads data; nil if there are none.
func (r *Reader) Bytes() []byte {
	n := r.Count()
	if n == 0 {
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

// String reads a text.
func (r *Reader) String() string { return string(r.Bytes()) }

// Time reads a moment.
func (r *Reader) Time() time.Time {
	ms := r.Uint()
	if ms == 0 || ms > 1<<52 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// Duration reads a time span.
func (r *Reader) Duration() time.Duration {
	ms := r.Uint()
	if ms > 1<<43 {
		r.fail()
		return 0
	}
	return time.Duration(ms) * time.Millisecond //nolint:gosec // bounded above
}
