// Package wire reads what a BOSH server sends, as cheaply as can be: HTTP/1.1
// responses by byte search and the elements of a <body/> without an XML
// library. The load generator shares its machine with the server it measures,
// so every microsecond spent here is one taken from the measurement.
//
// It is no validating parser. It trusts that a server's XML is well-formed and
// only finds the borders of elements, their names and attributes:
//
//	resp, n, err := wire.ParseResponse(buf) // n == 0: more bytes are needed
//	for rest := wire.Inner(resp.Body); ; {
//		el, next, ok := wire.Next(rest)
//		…
//	}
package wire

import (
	"bytes"
	"errors"
	"strconv"
)

// ErrMalformed says that the bytes are no HTTP/1.1 response.
var ErrMalformed = errors.New("malformed HTTP response")

// Response is one parsed HTTP response. Body aliases the parsed buffer.
type Response struct {
	Status int
	Close  bool
	Body   []byte
}

var (
	crlf     = []byte("\r\n")
	headEnd  = []byte("\r\n\r\n")
	hLength  = []byte("content-length")
	hConn    = []byte("connection")
	hCoding  = []byte("transfer-encoding")
	vChunked = []byte("chunked")
	vClose   = []byte("close")
)

// ParseResponse reads the first response in b and says how many bytes it took;
// zero means that it is not complete yet. A chunked body is joined in place,
// which overwrites b.
func ParseResponse(b []byte) (r Response, n int, err error) {
	head := bytes.Index(b, headEnd)
	if head < 0 {
		if len(b) >= 5 && string(b[:5]) != "HTTP/" || len(b) > 64<<10 {
			return r, 0, ErrMalformed
		}
		return r, 0, nil
	}
	line, rest := cutLine(b[:head])
	if len(line) < 12 || string(line[:7]) != "HTTP/1." {
		return r, 0, ErrMalformed
	}
	if r.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return r, 0, ErrMalformed
	}
	length, chunked := 0, false
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			continue
		}
		name, value := line[:colon], bytes.TrimSpace(line[colon+1:])
		switch {
		case bytes.EqualFold(name, hLength):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return r, 0, ErrMalformed
			}
		case bytes.EqualFold(name, hCoding):
			chunked = bytes.EqualFold(value, vChunked)
		case bytes.EqualFold(name, hConn):
			r.Close = bytes.EqualFold(value, vClose)
		}
	}
	start := head + len(headEnd)
	if chunked {
		return parseChunked(r, b, start)
	}
	if length > len(b)-start {
		return r, 0, nil
	}
	r.Body = b[start : start+length]
	return r, start + length, nil
}

// Header returns a field's value in a response; its name is in lower case.
func Header(response []byte, name string) []byte {
	head, _, _ := bytes.Cut(response, headEnd)
	for line, rest := cutLine(head); line != nil; line, rest = cutLine(rest) {
		if field, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(field, []byte(name)) {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}

func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.Index(b, crlf); i >= 0 {
		return b[:i], b[i+2:]
	}
	return b, nil
}

// parseChunked first finds out whether all chunks are there, since the joining
// destroys their borders.
func parseChunked(r Response, b []byte, start int) (Response, int, error) {
	end, err := walkChunks(b, start, nil)
	if end == 0 || err != nil {
		return r, 0, err
	}
	w := start
	_, _ = walkChunks(b, start, func(chunk []byte) { w += copy(b[w:], chunk) })
	r.Body = b[start:w]
	return r, end, nil
}

func walkChunks(b []byte, at int, f func([]byte)) (int, error) {
	for {
		i := bytes.Index(b[at:], crlf)
		if i < 0 {
			return 0, nil
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(untilSemicolon(b[at:at+i]))), 16, 31)
		if err != nil {
			return 0, ErrMalformed
		}
		data := at + i + 2
		if int(size)+2 > len(b)-data {
			return 0, nil
		}
		if f != nil {
			f(b[data : data+int(size)])
		}
		if at = data + int(size) + 2; size == 0 {
			return at, nil
		}
	}
}

func untilSemicolon(b []byte) []byte {
	if i := bytes.IndexByte(b, ';'); i >= 0 {
		return b[:i]
	}
	return b
}
