package longpoll

import (
	"net/netip"
	"strings"
)

// Handler answers the requests that the engine takes.
type Handler interface {
	// MaxBody is how large a body to a path may be; less than 0 is no path of
	// the handler's. It is called for each request.
	MaxBody(path []byte) int
	// Serve takes a request. It must not wait for anything: many connections
	// wait for it. It either returns false and has done nothing; then the
	// general server gets the request. Or it answers, before it returns or
	// later from any goroutine; Held, if not nil, is told if the client goes
	// before that. r is valid until Serve returns, but Body is the handler's.
	Serve(r *Request) (h Held, ok bool)
}

// Held is a request that waits for its response.
type Held interface {
	// Gone says that the client has gone. It must not wait for anything.
	Gone()
}

// Request is a request of the plain sort.
type Request struct {
	Path   string
	Body   []byte
	Conn   string         // the peer's address, as the network has it; names the connection
	Remote netip.AddrPort // the same; who is in front of the handler may know better
	Secure bool           // TLS
	// AllowOrigin is the value of Access-Control-Allow-Origin in the response,
	// VaryOrigin that the response depends on the origin. Who is in front of
	// the handler sets them.
	AllowOrigin string
	VaryOrigin  bool

	head  *head
	words *words
	conn  *conn
}

// Host is what the client asked.
func (r *Request) Host() string { return r.words.get(r.head.host) }

// Get returns the first value of a field, "" if there is none. The name is in
// lower case.
func (r *Request) Get(name string) string {
	for i := range r.head.fields {
		if f := &r.head.fields[i]; is(f.name, name) {
			return r.words.get(f.value)
		}
	}
	return ""
}

// Values returns all values of a field, whatever case the name has.
func (r *Request) Values(name string) (values []string) {
	for i := range r.head.fields {
		if f := &r.head.fields[i]; len(f.name) == len(name) && strings.EqualFold(string(f.name), name) {
			values = append(values, r.words.get(f.value))
		}
	}
	return values
}

// Exchange is what answers the request. What the response says of origins is
// settled by the call.
func (r *Request) Exchange() Exchange {
	return newExchange(r.conn, origin{r.AllowOrigin, r.VaryOrigin})
}

// words keeps strings that come again and again, such as the names of
// browsers, so that they are allocated once.
type words struct{ m map[string]string }

const (
	maxWords = 512
	maxWord  = 256
)

func (w *words) get(b []byte) string {
	if s, ok := w.m[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) <= maxWord {
		if len(w.m) >= maxWords {
			clear(w.m)
		}
		w.m[s] = s
	}
	return s
}
