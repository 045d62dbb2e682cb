package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// checker collects what is wrong with one file.
type checker struct {
	file     string
	node     *Node
	lines    map[string]int // of each key, dotted
	wrong    map[string]bool
	problems Problems
	warnings Problems
}

// problem notes one thing that is wrong; a key is complained of once.
func (c *checker) problem(key, format string, args ...any) {
	if c.wrong[key] {
		return
	}
	if c.wrong == nil {
		c.wrong = map[string]bool{}
	}
	c.wrong[key] = true
	c.problems = append(c.problems, Problem{File: c.file, Line: c.line(key), Key: key, Text: fmt.Sprintf(format, args...)})
}

// line finds the line of key, or of the table that it belongs to (an inline table is one line).
func (c *checker) line(key string) int {
	for {
		if n, ok := c.lines[key]; ok {
			return n
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return 0
		}
		key = key[:i]
	}
}

// keyLines maps each key and table of a document that is known to parse to its line.
func keyLines(raw []byte) map[string]int {
	lines := map[string]int{}
	var p unstable.Parser
	p.Reset(raw)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		key, line := dotted(&p, e)
		if e.Kind == unstable.KeyValue {
			key = join(table, key)
		} else {
			table = key
		}
		if _, ok := lines[key]; !ok {
			lines[key] = line
		}
	}
	return lines
}

func dotted(p *unstable.Parser, e *unstable.Node) (key string, line int) {
	var parts []string
	for it := e.Key(); it.Next(); {
		parts = append(parts, string(it.Node().Data))
		if line == 0 {
			line = p.Shape(it.Node().Raw).Start.Line
		}
	}
	return strings.Join(parts, "."), line
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}

// fill sets the fields of the struct that dst points to from tree, and notes unknown keys and wrong types.
// The decoder of the library would stop at the first wrong type.
func (c *checker) fill(dst any, tree map[string]any, prefix string) {
	v := reflect.ValueOf(dst).Elem()
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
		fields[name] = v.Field(i)
	}
	for key, value := range tree {
		full := join(prefix, key)
		field, ok := fields[key]
		if !ok {
			c.problem(full, "no such key; %s", suggest(key, fields))
			continue
		}
		c.set(field, value, full)
	}
}

func (c *checker) set(field reflect.Value, value any, key string) {
	switch field.Interface().(type) {
	case string:
		if s, ok := value.(string); ok {
			field.SetString(s)
			return
		}
		c.problem(key, "must be a text in quotes")
	case bool:
		if b, ok := value.(bool); ok {
			field.SetBool(b)
			return
		}
		c.problem(key, "must be true or false")
	case int64:
		if n, ok := value.(int64); ok {
			field.SetInt(n)
			return
		}
		c.problem(key, "must be a whole number")
	case []string:
		if list, ok := texts(value); ok {
			field.Set(reflect.ValueOf(list))
			return
		}
		c.problem(key, `must be a list of texts, such as ["a", "b"]`)
	default:
		if sub, ok := value.(map[string]any); ok {
			c.fill(field.Addr().Interface(), sub, key)
			return
		}
		c.problem(key, "must be a table, [%s]", key)
	}
}

func texts(value any) ([]string, bool) {
	list, ok := value.([]any)
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, isText := item.(string)
		ok = ok && isText
		out = append(out, s)
	}
	return out, ok
}

// suggest names the known key that is nearest to what was written, or all of them.
func suggest(key string, fields map[string]reflect.Value) string {
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	best, least := "", max(len(key)/2, 2)+1
	for _, name := range names {
		if d := distance(key, name); d < least {
			best, least = name, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known here are " + strings.Join(names, ", ")
}

// distance is that of Damerau and Levenshtein, in its simple form: insert, delete, replace, swap two neighbours.
func distance(a, b string) int {
	if len(a) > 64 {
		a = a[:64]
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
