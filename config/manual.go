package config

import (
	"go/ast"
	"reflect"
	"strings"
)

// Entry is a key of node.toml, or a table of keys, with what its declaration says of it.
type Entry struct {
	Key   string // with its table, such as "gossip.listen"
	Table bool
	Kind  string // "text", "number", "yes or no" or "list of texts"; "" of a table
	Text  string
}

// Manual lists all that node.toml can have, in the order of the declarations, keys before tables.
func Manual() []Entry {
	w := readDocs()
	return w.entries(nil, "", reflect.TypeFor[Node]())
}

func (w *templateWriter) entries(all []Entry, prefix string, t reflect.Type) []Entry {
	v := reflect.Zero(t)
	var tables []int
	shared := "" // of a line that documents a field that follows without words of its own
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Struct {
			tables = append(tables, i)
			continue
		}
		f := w.field(v, i)
		if text := words(f); text != "" {
			shared = text
		}
		all = append(all, Entry{Key: prefix + key(v, i), Kind: kindOf(v.Field(i)), Text: shared})
	}
	for _, i := range tables {
		f, t := w.field(v, i), v.Field(i).Type()
		text := words(f)
		if f.Doc.Text() == "" {
			text = strings.TrimSpace(w.words[t.Name()] + "\n" + text)
		}
		name := prefix + key(v, i)
		all = w.entries(append(all, Entry{Key: name, Table: true, Text: text}), name+".", t)
	}
	return all
}

// words is what stands above a field, and behind it.
func words(f *ast.Field) string { return strings.TrimSpace(f.Doc.Text() + f.Comment.Text()) }

func kindOf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "yes or no"
	case reflect.Int64:
		return "number"
	case reflect.Slice:
		return "list of texts"
	}
	return "text"
}
