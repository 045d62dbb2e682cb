package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is the import table: of our own packages, a package imports only what its line names, test files included.
// A folder below a package follows the package's line, and may import the package and its other folders.
// docs/ARCHITECTURE.md has the same table for people; TestImportTableIsDocumented holds the two together.
var mayImport = map[string][]string{
	"domicile":     {},
	"message":      {},
	"man":          {},
	"config":       {"domicile"},
	"keys":         {"domicile"},
	"audit":        {"domicile"},
	"residence":    {"domicile"},
	"placement":    {"domicile"},
	"metrics":      {},
	"store/search": {},
	"turns":        {"domicile"},
	"store":        {"domicile", "message", "store/search"},
	"region":       {"domicile", "placement", "audit"},
	"disclosure":   {"domicile", "keys", "store", "residence", "placement", "audit", "region"},
	"login":        {"domicile", "store", "turns"},
	"backup":       {"domicile", "keys", "audit", "region"},
	"move":         {"domicile", "keys", "store", "residence", "placement", "audit", "region"},
	"smtpd":        {"domicile", "message", "store", "placement", "region", "login"},
	"imapd":        {"domicile", "message", "store", "placement", "region", "login", "turns"},
	"admin":        {"domicile", "keys", "store", "residence", "placement", "audit", "region", "disclosure", "move"},
	"lab":          {"domicile", "message", "config", "keys", "audit", "residence", "placement", "store", "store/search", "region", "disclosure", "backup", "move", "login", "turns", "smtpd", "imapd", "admin", "metrics", "man"},
	"cmd/mailctl":  {"domicile", "config", "keys", "audit", "residence", "store", "placement", "region", "disclosure", "backup", "move", "admin", "lab", "importer", "man"},
	"cmd/mailnode": {"domicile", "message", "config", "keys", "audit", "residence", "placement", "store", "store/search", "region", "disclosure", "backup", "move", "login", "turns", "smtpd", "imapd", "admin", "lab", "metrics", "man"},
	"importer":     {"domicile", "store"},
	"tests":        {"importer", "domicile", "message", "config", "keys", "audit", "residence", "placement", "store", "store/search", "region", "disclosure", "backup", "move", "login", "turns", "smtpd", "imapd", "admin", "lab", "metrics", "man"},
}

// whyNot gives the reason of the edges that somebody is most likely to want one day.
var whyNot = map[string]string{
	"domicile -> *":        "the shared words import the standard library only, so that everyone can import them",
	"message -> *":         "a parser of hostile bytes knows nothing of ours",
	"keys -> store":        "the store declares the Sealer it needs; keys never learns what it seals",
	"store -> keys":        "the store declares the Sealer it needs; cmd/mailnode passes keys in",
	"store/search -> *":    "words in, bytes out: it folds no text, keeps no file and holds no key",
	"store -> region":      "a store cannot send: no byte leaves from below the border",
	"placement -> store":   "Decide is pure: policy reads no disk",
	"placement -> region":  "policy does no I/O, and the border depends on policy, not the reverse",
	"audit -> keys":        "the log declares the Signer and Sealer it needs",
	"region -> store":      "the border carries bytes without knowing what they are",
	"region -> disclosure": "the border enforces permits; why an order is lawful is decided above it",
	"smtpd -> imapd":       "the fronts meet in the store alone",
	"smtpd -> keys":        "a front holds no key",
	"imapd -> keys":        "a front holds no key; it is handed a password check",
	"login -> keys":        "it is handed a password check, and holds no key",
	"smtpd -> audit":       "a front's leaves are written by the guard, before the act",
	"imapd -> disclosure":  "mail clients and orders share no code path",
	"disclosure -> smtpd":  "a disclosure never leaves by a mail front",
	"admin -> smtpd":       "operators do not reach mail through the fronts",
	"* -> cmd/mailnode":    "a command is a parts list, not a library",
	"* -> cmd/mailctl":     "a command is a parts list, not a library",
	"* -> lab":             "a lab has every private key of a cluster: no node may be able to make one",
	"* -> importer":        "only an operator's tool logs in at other servers and reads other folders: no node does",
	"importer -> admin":    "it reads; mailctl carries what it reads to a node",
	"* -> tests":           "what the product needs does not live among its tests",
	"cmd/mailctl -> smtpd": "an operator's tool serves no mail",
}

// ownerOf says which of our packages alone uses an outside library, so that replacing it is one package's work. Test
// files are exempt. A prefix covers the packages below it, unless a longer one has its own line.
var ownerOf = map[string][]string{
	"go.etcd.io/bbolt":                          {"store/bolt", "audit"},
	"github.com/hashicorp/memberlist":           {"region", "tests"}, // tests/containers has a rogue member
	"github.com/emersion/go-smtp":               {"smtpd"},
	"github.com/emersion/go-imap/v2":            {"imapd", "lab", "importer", "tests"},
	"github.com/emersion/go-imap/v2/imapclient": {"lab", "importer", "tests"},
	"github.com/emersion/go-imap/v2/imapserver": {}, // nobody: it runs bytes of literals as commands (imapd has an engine of its own)
	"github.com/tink-crypto/tink-go/v2":         {"keys"},
	"github.com/cedar-policy/cedar-go":          {"disclosure"},
	"github.com/go-jose/go-jose/v4":             {"disclosure"},
	"filippo.io/age":                            {"disclosure", "lab"}, // the lab opens a production as the authority would
	"github.com/hanwen/go-fuse/v2":              {"tests"},
	"github.com/spf13/cobra":                    {"cmd/mailctl", "cmd/mailnode", "man"}, // man writes pages of its commands
	"github.com/spf13/pflag":                    {"man"},
	"github.com/prometheus":                     {"metrics"},
	"github.com/xdg-go/scram":                   {"tests"}, // another library's client of SCRAM
}

// pkg is what "go list -json" says of a package.
type pkg struct {
	Dir, ImportPath           string
	GoFiles, Imports          []string
	TestImports, XTestImports []string
}

// name is the package's path inside the module; the root is called "domicile".
func (p pkg) name() string { return ours(p.ImportPath) }

// ours returns an import path as the table writes it, "" for a package that is not ours.
func ours(path string) string {
	if path == "domicile" {
		return path
	}
	name, ok := strings.CutPrefix(path, "domicile/")
	if !ok {
		return ""
	}
	return name
}

// line returns the name of the table's line that a package follows: its own, or that of the longest folder above it.
func line(name string) string {
	for ; name != "."; name = filepath.Dir(name) {
		if _, ok := mayImport[name]; ok {
			return name
		}
	}
	return ""
}

// forbidden returns why from may not import to, "" if it may. Both are names as in the table.
func forbidden(from, to string) string {
	f, t := line(from), line(to)
	switch {
	case f == "":
		return "it has no line in the table: decide where it stands before it imports anything"
	case f == t || slices.Contains(mayImport[f], t):
		return ""
	}
	for _, edge := range []string{f + " -> " + t, f + " -> *", "* -> " + t} {
		if why := whyNot[edge]; why != "" {
			return why
		}
	}
	return "the table does not have it; declare a small interface, and let cmd/mailnode pass the other side in"
}

// stranger returns why from may not import the outside library path, "" if it may.
func stranger(from, path string) string {
	best := ""
	for lib := range ownerOf {
		if (path == lib || strings.HasPrefix(path, lib+"/")) && len(lib) > len(best) {
			best = lib
		}
	}
	owners := ownerOf[best]
	if best == "" || slices.ContainsFunc(owners, func(o string) bool { return from == o || strings.HasPrefix(from, o+"/") }) {
		return ""
	}
	return best + " belongs to " + strings.Join(owners, " and ") + " alone"
}

func TestImports(t *testing.T) {
	packages := list(t)
	for _, p := range packages {
		name := p.name()
		all := slices.Concat(p.Imports, p.TestImports, p.XTestImports)
		slices.Sort(all)
		for _, imp := range slices.Compact(all) {
			if to := ours(imp); to != "" && to != name {
				if why := forbidden(name, to); why != "" {
					t.Errorf("%s imports %s: %s", name, to, why)
				}
			}
		}
		for _, imp := range p.Imports {
			if why := stranger(name, imp); why != "" {
				t.Errorf("%s imports %s: %s", name, imp, why)
			}
		}
	}
	if len(packages) < 10 {
		t.Errorf("go list found only %d packages", len(packages))
	}
}

// TestImportTableCanFail holds the check against edges that it must refuse.
func TestImportTableCanFail(t *testing.T) {
	for _, edge := range [][2]string{{"store", "keys"}, {"store/bolt", "region"}, {"placement", "audit"}, {"smtpd", "imapd"},
		{"domicile", "message"}, {"region", "store"}, {"nowhere", "domicile"}, {"admin", "lab"}, {"region", "tests/harness"}} {
		if forbidden(edge[0], edge[1]) == "" {
			t.Errorf("%s -> %s is allowed", edge[0], edge[1])
		}
	}
	for edge := range whyNot {
		from, to, _ := strings.Cut(edge, " -> ")
		if slices.Contains(mayImport[from], to) {
			t.Errorf("the table allows %s, and whyNot says why it must not be", edge)
		}
	}
	for _, edge := range [][2]string{{"store/bolt", "store"}, {"store", "domicile"}, {"lab", "admin"}, {"tests", "tests/harness"}} {
		if why := forbidden(edge[0], edge[1]); why != "" {
			t.Errorf("%s -> %s is refused: %s", edge[0], edge[1], why)
		}
	}
	for _, edge := range [][2]string{{"imapd", "go.etcd.io/bbolt"}, {"store", "go.etcd.io/bbolt"}, {"lab", "github.com/emersion/go-imap/v2/imapserver"}, {"imapd", "github.com/emersion/go-imap/v2/imapserver"}} {
		if stranger(edge[0], edge[1]) == "" {
			t.Errorf("%s may use %s", edge[0], edge[1])
		}
	}
}

// dialers may open sockets: region for a node; the operator's side, the lab and the tests as clients.
var dialers = []string{"region", "lab", "cmd/mailctl", "tests"}

// Names by which a program listens, dials, looks names up, or reaches for a client that dials by itself.
var reaches = map[string]func(name string) bool{
	"net": func(n string) bool {
		return n != "Listener" && strings.HasPrefix(n, "Listen") || strings.HasPrefix(n, "Dial") || strings.HasPrefix(n, "Lookup") ||
			strings.HasPrefix(n, "Resolve") || n == "Resolver" || n == "DefaultResolver" || n == "FileListener" || n == "FileConn"
	},
	"net/http": func(n string) bool {
		return slices.Contains([]string{"Get", "Post", "PostForm", "Head", "Client", "DefaultClient", "Transport",
			"DefaultTransport", "ListenAndServe", "ListenAndServeTLS"}, n)
	},
	"crypto/tls":             func(n string) bool { return strings.HasPrefix(n, "Dial") || n == "Listen" },
	"net/smtp":               func(string) bool { return true },
	"net/rpc":                func(string) bool { return true },
	"golang.org/x/net/http2": func(n string) bool { return n == "Transport" },
	"golang.org/x/sys/unix":  func(n string) bool { return n == "Socket" || n == "Connect" },
	"syscall":                func(n string) bool { return n == "Socket" || n == "Connect" },
	"os/exec":                func(string) bool { return true }, // another program could dial for it
	"github.com/emersion/go-imap/v2/imapclient": func(n string) bool { return strings.HasPrefix(n, "Dial") },
}

// sockets returns each place in a file where it reaches for the network.
func sockets(fset *token.FileSet, f *ast.File) []string {
	known := map[string]string{} // the file's name of a package, to its path
	for _, imp := range f.Imports {
		path, _ := strconv.Unquote(imp.Path.Value)
		if reaches[path] == nil {
			continue
		}
		local := filepath.Base(path)
		if imp.Name != nil {
			local = imp.Name.Name
		}
		known[local] = path
	}
	var found []string
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if strings.HasPrefix(sel.Sel.Name, "ListenAndServe") { // a method of an http.Server, or of what a library calls a server
			found = append(found, fset.Position(sel.Pos()).String()+": "+sel.Sel.Name)
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Obj == nil && known[x.Name] != "" && reaches[known[x.Name]](sel.Sel.Name) {
			found = append(found, fset.Position(sel.Pos()).String()+": "+known[x.Name]+"."+sel.Sel.Name)
		}
		return true
	})
	if known["."] != "" {
		found = append(found, fset.Position(f.Pos()).String()+": imports "+known["."]+" into its own names, where nobody can see what it dials")
	}
	return found
}

// TestOnlyRegionDials reads the source: inside a node, one package opens sockets. The client side of admin, which
// mailctl and the lab use, is the file admin/client.go and no other.
func TestOnlyRegionDials(t *testing.T) {
	fset := token.NewFileSet()
	for _, p := range list(t) {
		if slices.Contains(dialers, line(p.name())) {
			continue
		}
		for _, name := range p.GoFiles {
			if p.name() == "admin" && strings.HasPrefix(name, "client") {
				continue
			}
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, where := range sockets(fset, f) {
				t.Errorf("%s: only region may listen, dial or resolve; take a listener or a connection from it", where)
			}
		}
	}
}

func TestSocketScanCanFail(t *testing.T) {
	for src, want := range map[string]int{
		"package p; import \"net\"; func f() { net.Dial(\"tcp\", \"\"); var _ net.Conn }":                     1,
		"package p; import n \"net\"; var d = n.Dialer{}":                                                     1,
		"package p; import \"net/http\"; func f() { http.Get(\"\"); _ = http.StatusOK }":                      1,
		"package p; import \"net/http\"; func f(s *http.Server) { s.ListenAndServe() }":                       1,
		"package p; import \"os/exec\"; func f() { exec.Command(\"curl\").Run() }":                            1,
		"package p; import . \"net\"; var c Conn":                                                             1,
		"package p; import \"crypto/tls\"; func f() { tls.Dial(\"\", \"\", nil); tls.NewListener(nil, nil) }": 1,
		"package p; import \"net\"; func f(c net.Conn, l net.Listener) net.Addr { return c.LocalAddr() }":     0,
	} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "p.go", src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := sockets(fset, f); len(got) != want {
			t.Errorf("%s: found %q, want %d", src, got, want)
		}
	}
}

// list runs "go list" over the module.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=Dir,ImportPath,GoFiles,Imports,TestImports,XTestImports", "domicile/...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
