package config

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// fieldsSource is where every key is documented: the words in a new node.toml are those of the fields, and cannot fall behind.
//
//go:embed config.go
var fieldsSource string

// Template returns a node.toml with the values of n and the documentation of every key. A key that n leaves empty, and a table in
// which it leaves all empty, are comments.
func Template(n *Node) []byte {
	w := readDocs()
	w.table("", reflect.ValueOf(*n), false)
	return w.out.Bytes()
}

// readDocs reads the declarations and their comments.
func readDocs() *templateWriter {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", fieldsSource, parser.ParseComments)
	if err != nil {
		panic(err) // it was compiled into this program
	}
	w := &templateWriter{docs: map[string]*ast.StructType{}, words: map[string]string{}}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		s := g.Specs[0].(*ast.TypeSpec)
		if t, ok := s.Type.(*ast.StructType); ok {
			w.docs[s.Name.Name], w.words[s.Name.Name] = t, g.Doc.Text()
		}
	}
	return w
}

type templateWriter struct {
	docs  map[string]*ast.StructType // of each type
	words map[string]string
	out   bytes.Buffer
}

// table writes the keys of a struct, then its tables.
func (w *templateWriter) table(prefix string, v reflect.Value, hidden bool) {
	var tables []int
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.Struct {
			tables = append(tables, i)
			continue
		}
		w.comment(w.field(v, i).Doc.Text())
		line, err := toml.Marshal(map[string]any{key(v, i): v.Field(i).Interface()})
		if err != nil {
			panic(err) // texts, numbers and lists of texts
		}
		if hidden || v.Field(i).IsZero() {
			w.out.WriteString("# ")
		}
		w.out.Write(line)
	}
	for _, i := range tables {
		t := v.Field(i)
		w.out.WriteString("\n")
		if own := w.field(v, i).Doc.Text(); own != "" {
			w.comment(own)
		} else {
			w.comment(w.words[t.Type().Name()])
		}
		w.comment(w.field(v, i).Comment.Text())
		empty := t.IsZero()
		if empty {
			w.out.WriteString("# ")
		}
		fmt.Fprintf(&w.out, "[%s]\n", prefix+key(v, i))
		w.table(prefix+key(v, i)+".", t, empty)
	}
}

func key(v reflect.Value, i int) string {
	name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
	return name
}

// field finds a field in the source, by its name.
func (w *templateWriter) field(v reflect.Value, i int) *ast.Field {
	for _, f := range w.docs[v.Type().Name()].Fields.List {
		for _, n := range f.Names {
			if n.Name == v.Type().Field(i).Name {
				return f
			}
		}
	}
	panic("config.go does not have " + v.Type().Field(i).Name)
}

func (w *templateWriter) comment(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(&w.out, "# %s\n", strings.TrimSuffix(line, "\n"))
	}
}
