package redis

import "strconv"

// text reads an answer that is one text or number, "" for none.
func text(answer any) string {
	switch v := answer.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// number reads an answer that is a number, 0 for none.
func number(answer any) int64 {
	switch v := answer.(type) {
	case int64:
		return v
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	return 0
}

// bytes reads an answer that is one text, nil for none.
func bytes(answer any) []byte {
	if v, ok := answer.(string); ok {
		return []byte(v)
	}
	return nil
}

// texts reads an answer that is a list.
func texts(answer any) []string {
	list, _ := answer.([]any)
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = text(v)
	}
	return all
}

// fields reads an answer that has names and values in turn.
func fields(answer any) map[string]string {
	list, _ := answer.([]any)
	all := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		all[text(list[i])] = text(list[i+1])
	}
	return all
}
