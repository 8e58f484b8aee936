package longpoll

// Taken is what the engine reads of a request that it takes.
type Taken struct {
	Target, Host string
	Fields       [][2]string
	Length       int // of the body
	Head         int // bytes of the head
	Close        bool
}

// Take reads the head at the beginning of data as the engine does.
func Take(data []byte) (t Taken, ok bool) {
	n := endOfHead(data, 0)
	if n <= 0 || n > defaultMaxHead {
		return t, false
	}
	var h head
	if !h.parse(data[:n]) {
		return t, false
	}
	t = Taken{Target: string(h.target), Host: string(h.host), Length: h.length, Head: n, Close: h.close}
	for _, f := range h.fields {
		t.Fields = append(t.Fields, [2]string{string(f.name), string(f.value)})
	}
	return t, true
}

// EndOfHead lets tests at where a head ends.
func EndOfHead(data []byte, from int) int { return endOfHead(data, from) }

// NewParser returns what a reactor does with the head of each request.
func NewParser() func(data []byte) bool {
	h := head{fields: make([]field, 0, maxFields)}
	return func(data []byte) bool { return endOfHead(data, 0) == len(data) && h.parse(data) }
}
