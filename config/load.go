package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"domicile"
)

// maxFile bounds node.toml, in bytes.
const maxFile = 256 << 10

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File string
	Line int    // 0 if it is about a key that is not there
	Key  string // dotted, such as "gossip.listen"; "" if it is about the file
	Text string // what is wrong and what to do
}

// String gives a line for people: file, line, key and text.
func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Text
}

// Problems is everything that is wrong with one file, by line. It is the error that Load returns.
type Problems []Problem

// Error has one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the error its kind: Invalid.
func (ps Problems) Unwrap() error {
	return domicile.E("configuration", domicile.Invalid, "see the list of problems")
}

// Load reads the file at path, fills in defaults, resolves paths and checks every value. Its error is Problems with
// all that was found, or Invalid if there is no such file to read. It changes nothing and opens no other file.
func Load(path string) (*Node, error) {
	f, err := Read(path)
	if err != nil {
		return nil, err
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return f.Node, nil
}

// File is a configuration as far as it could be read, with what is wrong with it so far. Whoever knows more than this package,
// what a certificate or a catalog must hold, adds to that, so that a person is told everything at once.
type File struct {
	Node *Node // nil if the file is no TOML
	c    *checker
}

// Read is Load, for a caller who goes on checking. Its error is Invalid if there is no such file to read.
func Read(path string) (*File, error) {
	raw, err := readBounded(path)
	if err != nil {
		return nil, &domicile.Error{Op: "configuration", Kind: domicile.Invalid, Detail: "cannot be read; name a node.toml by --config", Err: err}
	}
	return read(path, raw), nil
}

// Sound reports whether nothing was found wrong with these keys.
func (f *File) Sound(keys ...string) bool {
	return f.Node != nil && !slices.ContainsFunc(keys, func(k string) bool { return f.c.wrong[k] })
}

// Problem adds something that is wrong with a key, unless something was found already.
func (f *File) Problem(key, format string, args ...any) { f.c.problem(key, format, args...) }

// Warn adds something that is not wrong yet.
func (f *File) Warn(key, format string, args ...any) {
	f.c.warnings = append(f.c.warnings, Problem{File: f.c.file, Line: f.c.line(key), Key: key, Text: fmt.Sprintf(format, args...)})
}

// Warnings are what Warn was told.
func (f *File) Warnings() Problems { return f.c.warnings }

// Err returns Problems, or nil if there is none.
func (f *File) Err() error {
	if len(f.c.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(f.c.problems, byLine)
	return f.c.problems
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return raw, err
}

func read(path string, raw []byte) *File {
	c := &checker{file: path, node: new(Node)}
	var tree map[string]any
	if err := toml.Unmarshal(raw, &tree); err != nil {
		c.problems = Problems{syntaxProblem(path, err)}
		return &File{c: c}
	}
	c.lines = keyLines(raw)
	c.fill(c.node, tree, "")
	c.resolve(filepath.Dir(path))
	c.defaults()
	c.check()
	return &File{Node: c.node, c: c}
}

// byLine puts what is missing, and so has no line, behind what is there.
func byLine(a, b Problem) int {
	return cmp.Or(cmp.Compare(b2i(a.Line == 0), b2i(b.Line == 0)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func syntaxProblem(path string, err error) Problem {
	p := Problem{File: path, Text: err.Error()}
	var d *toml.DecodeError
	if errors.As(err, &d) {
		p.Line, _ = d.Position()
		p.Key = strings.Join(d.Key(), ".")
	}
	return p
}

// Print writes the effective values as TOML, defaults included. It holds names of files, and no secret.
func Print(w io.Writer, n *Node) error {
	return domicile.W("print configuration", toml.NewEncoder(w).Encode(n))
}
