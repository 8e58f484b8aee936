package configs

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// decode sets dst to what the file or the environment has for a key: a scalar
// or a list of YAML, or the text of a variable.
func decode(dst reflect.Value, raw any, fromEnv bool) error {
	if dst.Kind() == reflect.Slice {
		return decodeList(dst, raw)
	}
	if _, ok := dst.Interface().(Pair); ok {
		pair, err := decodePair(raw)
		if err == nil {
			dst.Set(reflect.ValueOf(pair))
		}
		return err
	}
	switch raw.(type) {
	case []any:
		return errors.New("is a list, one value is expected")
	case map[string]any, map[any]any:
		return errors.New("has keys below it, one value is expected")
	}
	text := strings.TrimSpace(fmt.Sprint(raw))
	var value any
	var err error
	switch dst.Interface().(type) {
	case string, Secret:
		// An unquoted 0123 has been read as a number already and lost its zero.
		if _, ok := raw.(string); !ok && !fromEnv {
			return fmt.Errorf("%v is no text, put it into quotes", raw)
		}
		value = raw
	case bool:
		value, err = decodeBool(text)
	case int:
		value, err = decodeInt(text)
	case time.Duration:
		value, err = decodeDuration(text)
	case Size:
		value, err = ParseSize(text)
	case netip.Prefix:
		value, err = decodePrefix(text)
	default:
		return fmt.Errorf("has no notation for %s", dst.Type())
	}
	if err != nil {
		return err
	}
	dst.Set(reflect.ValueOf(value).Convert(dst.Type()))
	return nil
}

// decodeList takes a list, or a text with commas as a variable has it.
func decodeList(dst reflect.Value, raw any) error {
	var items []any
	switch raw := raw.(type) {
	case []any:
		items = raw
	case string:
		for part := range strings.SplitSeq(raw, ",") {
			if part = strings.TrimSpace(part); part != "" {
				items = append(items, part)
			}
		}
	default:
		return errors.New("is no list, write [one, two]")
	}
	list := reflect.MakeSlice(dst.Type(), len(items), len(items))
	for i, item := range items {
		if item == nil {
			return fmt.Errorf("has nothing in place %d", i+1)
		}
		if err := decode(list.Index(i), item, false); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		list = reflect.Zero(dst.Type())
	}
	dst.Set(list)
	return nil
}

func decodeBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

func decodeInt(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number", text)
	}
	return n, nil
}

func decodeDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, nil
	}
	if _, bad := strconv.ParseFloat(text, 64); bad == nil {
		return 0, fmt.Errorf("%s has no unit, write %ss or %sm", text, text, text)
	}
	return 0, fmt.Errorf("%q is no duration, write 55s or 10m", text)
}

func decodePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is no address or network, write 10.0.0.7 or 10.0.0.0/8", text)
	}
	return p.Masked(), nil
}

// encode writes a value in the notation of the file.
func encode(v reflect.Value) any {
	if isItems(v.Type()) {
		return encodeItems(v)
	}
	switch v := v.Interface().(type) {
	case time.Duration:
		return shortDuration(v)
	case Size:
		return v.String()
	case Secret:
		return v.String()
	case []netip.Prefix:
		list := make([]string, len(v))
		for i, p := range v {
			list[i] = p.String()
		}
		return list
	case []Pair:
		list := make([][]string, len(v))
		for i, p := range v {
			list[i] = p.names()
		}
		return list
	case []string:
		if v == nil {
			return []string{}
		}
		return v
	default:
		return v
	}
}

// shortDuration writes 1m, where String has 1m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
