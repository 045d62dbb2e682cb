package disclosure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Limits of the JSON that a stranger may send us.
const (
	maxToken  = 64 << 10
	maxString = 48 << 10 // of the outer token; claims are bounded by maxClaim
	maxClaim  = 1 << 10
	maxList   = 128
	maxDepth  = 6
)

// strictJSON decodes one JSON object into v, a pointer to a struct. Unlike encoding/json it refuses a key that occurs
// twice, a key in another letter case, an unknown key, null, a NUL or other control character, text that is not UTF-8,
// a long string or list, deep nesting and anything behind the object. Numbers must be whole.
func strictJSON(data []byte, v any) error { return strictJSONOf(data, v, maxToken) }

// strictJSONOf is strictJSON with another limit on the whole.
func strictJSONOf(data []byte, v any, limit int) error {
	if len(data) > limit {
		return fmt.Errorf("longer than %d bytes", limit)
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return errors.New("not UTF-8 text")
	}
	w := walker{dec: json.NewDecoder(bytes.NewReader(data))}
	w.dec.UseNumber()
	if err := w.value(reflect.TypeOf(v).Elem(), 0, ""); err != nil {
		return err
	}
	if _, err := w.dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	if err := json.Unmarshal(data, v); err != nil {
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) {
			return fmt.Errorf("%s has the wrong type", t.Field)
		}
		return errors.New("not JSON of the expected form")
	}
	return nil
}

// walker holds JSON against a Go type, token by token.
type walker struct{ dec *json.Decoder }

func (w *walker) value(t reflect.Type, depth int, at string) error {
	tok, err := w.dec.Token()
	if err != nil {
		return errors.New("not JSON")
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch tok := tok.(type) {
	case nil:
		return fmt.Errorf("%s is null", at)
	case string:
		return checkString(tok, at)
	case json.Delim:
		if depth >= maxDepth {
			return fmt.Errorf("%s is nested too deep", at)
		}
		switch {
		case tok == '{' && t.Kind() == reflect.Struct:
			return w.object(t, depth, at)
		case tok == '[' && t.Kind() == reflect.Slice:
			return w.list(t.Elem(), depth, at)
		}
		return fmt.Errorf("%s has the wrong type", at)
	}
	if t.Kind() == reflect.Struct || t.Kind() == reflect.Slice {
		return fmt.Errorf("%s has the wrong type", at)
	}
	return nil
}

func (w *walker) object(t reflect.Type, depth int, at string) error {
	seen := map[string]bool{}
	for w.dec.More() {
		tok, err := w.dec.Token()
		key, ok := tok.(string)
		if err != nil || !ok {
			return errors.New("not JSON")
		}
		name := strings.TrimPrefix(at+"."+key, ".")
		field, known := fieldOf(t, key)
		if !known {
			return fmt.Errorf("an unknown name in %q", or(at, "the object"))
		}
		if seen[key] {
			return fmt.Errorf("%s occurs twice", name)
		}
		seen[key] = true
		if err := w.value(field, depth+1, name); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	if err != nil {
		return errors.New("not JSON")
	}
	return nil
}

func (w *walker) list(t reflect.Type, depth int, at string) error {
	for n := 0; w.dec.More(); n++ {
		if n >= maxList {
			return fmt.Errorf("%s has more than %d entries", at, maxList)
		}
		if err := w.value(t, depth+1, at+"[]"); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	if err != nil {
		return errors.New("not JSON")
	}
	return nil
}

// fieldOf finds the field whose JSON name is exactly key.
func fieldOf(t reflect.Type, key string) (reflect.Type, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == key {
			return f.Type, true
		}
	}
	return nil, false
}

func checkString(s, at string) error {
	limit := maxClaim
	switch at {
	case "payload", "signatures[].protected", "x5c[]":
		limit = maxString
	case "status_list.lst":
		limit = maxStatus
	}
	if len(s) > limit {
		return fmt.Errorf("%s is longer than %d bytes", at, limit)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return fmt.Errorf("%s has a control character or broken text", at)
		}
	}
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
