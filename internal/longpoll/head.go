package longpoll

import "bytes"

const (
	maxFields = 64
	method    = "POST "
	version   = " HTTP/1.1"
)

// field is one line of a header section, without the blanks around the value.
type field struct{ name, value []byte }

// head is the head of a request that the engine takes. Its slices point into
// what was read.
type head struct {
	target []byte
	host   []byte
	length int // of the body
	close  bool
	fields []field
}

// endOfHead returns the length of the head at the beginning of data, with the
// empty line that ends it; 0 if it has not come whole. What was looked through
// before is told by from. It is -1 if a line ends in another way than with
// CRLF, or if no request of the plain sort can begin like that.
func endOfHead(data []byte, from int) int {
	for i := 0; i < len(data) && i < len(method); i++ {
		if data[i] != method[i] {
			return -1
		}
	}
	for i := max(from-1, 0); i < len(data); i++ {
		n := bytes.IndexByte(data[i:], '\n')
		if n < 0 {
			return 0
		}
		i += n
		if i == 0 || data[i-1] != '\r' {
			return -1
		}
		if i >= 3 && data[i-2] == '\n' {
			return i + 1
		}
	}
	return 0
}

// parse reads a head, the empty line included. It reports whether the request
// is of the plain sort (RFC 9112): what is doubtful is not.
func (h *head) parse(data []byte) bool {
	*h = head{fields: h.fields[:0], length: -1}
	line, rest, ok := cutLine(data)
	if !ok || len(line) < len(method)+len(version) || string(line[:len(method)]) != method ||
		string(line[len(line)-len(version):]) != version {
		return false
	}
	h.target = line[len(method) : len(line)-len(version)]
	connection := false
	for {
		if line, rest, ok = cutLine(rest); !ok {
			return false
		}
		if len(line) == 0 {
			return len(rest) == 0 && len(h.host) > 0 && h.length >= 0
		}
		f, ok := parseField(line)
		if !ok || len(h.fields) == maxFields || !h.note(f, &connection) {
			return false
		}
		h.fields = append(h.fields, f)
	}
}

// cutLine takes a line that ends with CRLF and has no other end of line in it.
func cutLine(data []byte) (line, rest []byte, ok bool) {
	n := bytes.IndexByte(data, '\n')
	if n < 1 || data[n-1] != '\r' {
		return nil, nil, false
	}
	return data[:n-1], data[n+1:], true
}

// parseField splits a line. Folded lines begin with a blank, which is in no
// name; a blank before the colon is none either (RFC 9112 §5.1, §5.2).
func parseField(line []byte) (field, bool) {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return field{}, false
	}
	for _, b := range line[:colon] {
		if !isToken[b] {
			return field{}, false
		}
	}
	value := line[colon+1:]
	for len(value) > 0 && isBlank(value[0]) {
		value = value[1:]
	}
	for len(value) > 0 && isBlank(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	for _, b := range value {
		if b < ' ' && b != '\t' || b == 0x7f {
			return field{}, false
		}
	}
	return field{line[:colon], value}, true
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }

// note looks at the fields that matter to the framing of requests. It returns
// false for what makes a request another sort.
func (h *head) note(f field, connection *bool) (ok bool) {
	switch len(f.name) {
	case 2:
		return !is(f.name, "te")
	case 4:
		if !is(f.name, "host") {
			return true
		}
		ok = h.host == nil && isHost(f.value)
		h.host = f.value
		return ok
	case 6:
		return !is(f.name, "expect")
	case 7:
		return !is(f.name, "upgrade") && !is(f.name, "trailer")
	case 10:
		if !is(f.name, "connection") {
			return true
		}
		ok = !*connection && (is(f.value, "keep-alive") || is(f.value, "close"))
		*connection, h.close = true, is(f.value, "close")
		return ok
	case 14:
		if !is(f.name, "content-length") {
			return true
		}
		ok = h.length < 0
		if h.length = parseLength(f.value); h.length < 0 {
			return false
		}
		return ok
	case 16:
		return !is(f.name, "content-encoding") && !is(f.name, "proxy-connection")
	case 17:
		return !is(f.name, "transfer-encoding")
	}
	return true
}

// parseLength reads a number of at most nine digits and no zero before it; -1
// is none.
func parseLength(s []byte) int {
	if len(s) == 0 || len(s) > 9 || len(s) > 1 && s[0] == '0' {
		return -1
	}
	n := 0
	for _, b := range s {
		if b < '0' || b > '9' {
			return -1
		}
		n = n*10 + int(b-'0')
	}
	return n
}

// isHost admits names, addresses and ports. Anything odder is not refused here
// but left to the general server.
func isHost(s []byte) bool {
	for _, b := range s {
		if !isLetterOrDigit(b) && b != '.' && b != '-' && b != ':' && b != '[' && b != ']' && b != '_' {
			return false
		}
	}
	return len(s) > 0
}

func isLetterOrDigit(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// isToken are the bytes of a field's name (RFC 9110 §5.6.2).
var isToken = func() (t [256]bool) {
	for b := range 256 {
		t[b] = isLetterOrDigit(byte(b)) || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(b)) >= 0
	}
	return t
}()

// is compares with a lower-case word, whatever case b has.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
