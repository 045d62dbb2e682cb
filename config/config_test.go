package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"domicile"
)

const genesis = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// good is a configuration with nothing wrong, for a folder with the files of setup.
const good = `name = "eu-ireland-1"
region = "eu-ireland"
roles = ["front", "store", "admin"]
data = "data"
root_key = "root.key"
signing_key = "signing.key"
identity = "identity.pem"
names_key = "names.key"

[catalog]
dir = "catalog"
genesis = "` + genesis + `"

[rpc]
listen = "127.0.0.1:20010"

[gossip]
listen = "127.0.0.1:20011"
seeds = ["127.0.0.1:20021"]
key_file = "gossip.key"

[smtp]
listen = "127.0.0.1:20003"

[imap]
listen = "127.0.0.1:20001"

[admin]
listen = "127.0.0.1:20007"

[disclosure]
registry = "authorities.toml"
`

const witness = `name = "witness-1"
roles = ["witness"]
data = "data"
signing_key = "signing.key"
identity = "identity.pem"
[catalog]
dir = "catalog"
genesis = "` + genesis + `"
[rpc]
listen = "127.0.0.1:20030"
[gossip]
listen = "127.0.0.1:20031"
seeds = []
key_file = "gossip.key"
`

// setup makes a folder with the secrets that good names, and text as its node.toml.
func setup(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"root.key", "signing.key", "identity.pem", "names.key", "gossip.key", "authorities.toml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "node.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadFillsDefaultsAndResolvesPaths(t *testing.T) {
	path := setup(t, good)
	n, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	for _, c := range []struct{ what, got, want string }{
		{"data", n.Data, filepath.Join(dir, "data")},
		{"key file", n.Gossip.KeyFile, filepath.Join(dir, "gossip.key")},
		{"rpc.advertise", n.RPC.Advertise, "127.0.0.1:20010"},
		{"smtp.hostname", n.SMTP.Hostname, "eu-ireland-1"},
		{"cool_down", n.Residence.CoolDown, "336h"},
		{"between", n.Residence.Between, "4320h"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.what, c.got, c.want)
		}
	}
	if (n.Limits != Limits{4096, 256, 600, 100}) || n.Log.Level != "info" {
		t.Errorf("limits %+v, level %q", n.Limits, n.Log.Level)
	}
	if n.SMTP.MaxSize != 64<<20 {
		t.Errorf("max_size = %d", n.SMTP.MaxSize)
	}
}

func TestLoadWitness(t *testing.T) {
	n, err := Load(setup(t, witness))
	if err != nil {
		t.Fatal(err)
	}
	if !n.Witness() {
		t.Error("not a witness")
	}
}

// Each case changes one thing in good and says what check must then say, all of it.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to string
		want     string // lines, FILE for the file's name and DIR for its folder
	}{
		{"unknown table", "[smtp]", "[smpt]", "FILE:22: smpt: no such key; did you mean \"smtp\"?"},
		{"unknown key", "seeds =", "sedes =", "FILE:19: gossip.sedes: no such key; did you mean \"seeds\"?"},
		{"far from any key", `data = "data"`, "data = \"data\"\nxyzzyplughxyzzy = 1",
			"FILE:5: xyzzyplughxyzzy: no such key; known here are admin, backup, catalog, clock_offset, data, disclosure, gossip, http, identity, imap, imaps, lab, limits, lmtp, log, memory, name, names_key, queue, region, residence, roles, root_key, rpc, signing_key, smtp, store_segment, submission, submissions, undelete"},
		{"unknown key in an inline table", "[rpc]\nlisten = \"127.0.0.1:20010\"", "rpc = { listen = \"127.0.0.1:20010\", lisn = 1 }",
			"FILE:14: catalog.rpc: no such key; known here are dir, genesis\nFILE: rpc.listen: is needed: a literal IP:port, such as \"127.0.0.1:20010\""},
		{"syntax", `data = "data"`, `data = "data`, "FILE:4: toml: basic strings cannot have new lines"},
		{"twice", `data = "data"`, "data = \"data\"\ndata = \"x\"", "FILE:5: data: toml: key data is already defined"},
		{"wrong types", `data = "data"`, "data = 7\nlab = \"yes\"",
			"FILE:4: data: must be a text in quotes\nFILE:5: lab: must be true or false"},
		{"list of numbers", `roles = ["front", "store", "admin"]`, `roles = [1]`,
			"FILE:3: roles: must be a list of texts, such as [\"a\", \"b\"]"},
		{"a text for a table", `data = "data"`, "data = \"data\"\nimaps = \"127.0.0.1:1\"", "FILE:5: imaps: must be a table, [imaps]"},
		{"any address", `listen = "127.0.0.1:20010"`, `listen = "0.0.0.0:20010"`, "FILE:14: rpc.advertise: 0.0.0.0 is no address that others can reach; name one that is"},
		{"another address to tell", `listen = "127.0.0.1:20010"`, "listen = \"0.0.0.0:20010\"\nadvertise = \"192.0.2.1:20010\"", "none"},
		{"limits and level", `[admin]`, "[limits]\nconnections = -1\nnew_per_minute = 2000000\n[log]\nlevel = \"loud\"\n[admin]",
			"FILE:29: limits.connections: must be from 1 to 1048576\nFILE:30: limits.new_per_minute: must be from 1 to 1048576\nFILE:32: log.level: must be \"debug\", \"info\", \"warn\" or \"error\""},
		{"an address inside the region", `listen = "127.0.0.1:20010"`, "listen = \"0.0.0.0:20010\"\nadvertise = \"192.0.2.1:20010\"\ninside = \"10.0.0.1:20010\"", "none"},
		{"any address inside", `listen = "127.0.0.1:20010"`, "listen = \"127.0.0.1:20010\"\ninside = \"0.0.0.0:20010\"", "FILE:16: rpc.inside: 0.0.0.0 is no address that others can reach; name one that is"},
		{"a name inside", `listen = "127.0.0.1:20011"`, "listen = \"127.0.0.1:20011\"\ninside = \"store:20011\"", "FILE:19: gossip.inside: \"store:20011\" is not a literal IP:port; host names are not looked up"},
		{"admin inside", `listen = "127.0.0.1:20007"`, "listen = \"127.0.0.1:20007\"\ninside = \"10.0.0.1:20007\"", "FILE:30: admin.inside: operators are told one address, admin.advertise; remove it"},
		{"bad name", `name = "eu-ireland-1"`, `name = "EU Ireland"`, "FILE:1: name: must be 2 to 32 characters of a-z, 0-9 and inner '-', unique in the cluster"},
		{"no region", `region = "eu-ireland"`, "", "FILE: region: must name a region of the catalog, such as \"eu-ireland\"; only a witness has none"},
		{"unknown role", `"admin"]`, `"amdin"]`, "FILE:3: roles: \"amdin\" is no role; known are front, store, admin and witness"},
		{"role twice", `"admin"]`, `"admin", "admin"]`, "FILE:3: roles: \"admin\" is there twice"},
		{"admin without store", `"store", `, "", "FILE:3: roles: \"admin\" needs \"store\": the node that holds the accounts answers for them"},
		{"host name", `"127.0.0.1:20021"`, `"localhost:20021"`, "FILE:19: gossip.seeds: \"localhost:20021\" is not a literal IP:port; host names are not looked up"},
		{"no port", `listen = "127.0.0.1:20011"`, `listen = "127.0.0.1"`, "FILE:18: gossip.listen: \"127.0.0.1\" is not a literal IP:port; host names are not looked up"},
		{"port 0 for others", `listen = "127.0.0.1:20010"`, `listen = "127.0.0.1:0"`, "FILE:15: rpc.listen: needs a fixed port: other nodes must find it"},
		{"IMAP for strangers", `"127.0.0.1:20001"`, `"192.0.2.1:20001"`, "none"},
		{"LMTP that strangers reach", "[admin]", "[lmtp]\nlisten = \"192.0.2.1:24\"\n[admin]",
			"FILE:29: lmtp.listen: 192.0.2.1 is open to strangers, and LMTP takes mail from whoever reaches it; name an address on loopback or a private network"},
		{"a queue that keeps for ever", "[admin]", "[queue]\nexpire = \"200h\"\n[admin]", "FILE:29: queue.expire: must be a duration from \"1h\" to \"144h\""},
		{"a queue without room", "[admin]", "[queue]\nmax_bytes = 10\n[admin]", "FILE:29: queue.max_bytes: must be 1048576 bytes or more"},
		{"a queue without room for an account", "[admin]", "[queue]\naccount_bytes = -1\n[admin]", "FILE:29: queue.account_bytes: must be 1048576 bytes or more"},
		{"a queue without pace", "[admin]", "[queue]\nrate = -5\n[admin]", "FILE:29: queue.rate: must be from 1 to 1000000 recipients an hour"},
		{"one address twice", `"127.0.0.1:20003"`, `"127.0.0.1:20001"`, "FILE:26: imap.listen: is the same address as smtp.listen"},
		{"health everywhere", "[admin]", "[http]\nlisten = \"0.0.0.0:20009\"\n[admin]", "FILE:29: http.listen: 0.0.0.0 is every address of the machine; name the one that may ask, such as \"127.0.0.1:20009\""},
		{"health nowhere", "[admin]", "[http]\nlisten = \"127.0.0.1:0\"\n[admin]", "FILE:29: http.listen: needs a fixed port: mailnode health asks there"},
		{"health by name", "[admin]", "[http]\nlisten = \"localhost:20009\"\n[admin]", "FILE:29: http.listen: \"localhost:20009\" is not a literal IP:port; host names are not looked up"},
		{"health at a front's address", "[admin]", "[http]\nlisten = \"127.0.0.1:20003\"\n[admin]", "FILE:29: http.listen: is the same address as smtp.listen"},
		{"health", "[admin]", "[http]\nlisten = \"127.0.0.1:20009\"\n[admin]", "none"},
		{"bad pin", genesis, "sha256:XYZ", "FILE:12: catalog.genesis: must be \"sha256:\" and 64 hex digits: the pin of the catalog's first version"},
		{"secret is absent", `"names.key"`, `"nowhere.key"`, "FILE:8: names_key: no such file: DIR/nowhere.key"},
		{"secret is a folder", `"names.key"`, `"."`, "FILE:8: names_key: DIR is not a file"},
		{"root key within data", `data = "data"`, `data = "."`, "FILE:5: root_key: must lie outside data: a copy of the data folder would otherwise be a copy of the mail"},
		{"no registry", `registry = "authorities.toml"`, "", "FILE:31: disclosure.registry: is needed: the file of the authorities that this region believes; an empty one believes nobody"},
		{"no UNAUTHENTICATE of SMTP", `listen = "127.0.0.1:20003"`, "listen = \"127.0.0.1:20003\"\nno_unauthenticate = true", "FILE:24: smtp.no_unauthenticate: is for imap and imaps"},
		{"tiny messages", `listen = "127.0.0.1:20003"`, "listen = \"127.0.0.1:20003\"\nmax_size = 10", "FILE:24: smtp.max_size: must be from 65536 to 1073741824 bytes"},
		{"backups in the data folder", "[admin]", "[backup]\ndir = \"data/backup\"\n[admin]", "FILE:29: backup.dir: must lie outside data, and not around it"},
		{"backups all the time", "[admin]", "[backup]\ndir = \"backup\"\nevery = \"1s\"\nkeep = \"1h\"\n[admin]",
			"FILE:30: backup.every: must be a duration of a minute at least, such as \"24h\"\nFILE:31: backup.keep: must be a duration of a day at least, such as \"2160h\""},
		{"backups kept oddly", "[admin]", "[backup]\ndir = \"backup\"\nkeep_daily = -1\nkeep_weekly = 10001\nwarn_behind = \"1s\"\n[admin]",
			"FILE:30: backup.keep_daily: must be from 0 to 10000\nFILE:31: backup.keep_weekly: must be from 0 to 10000\nFILE:32: backup.warn_behind: must be a duration of a minute at least, such as \"15m\""},
		{"backups nowhere", "[admin]", "[backup]\nevery = \"1h\"\n[admin]", "FILE:28: backup.dir: is needed: the folder of the repository; without it there is no backup"},
		{"quick cool-down", "[admin]", "[residence]\ncool_down = \"5s\"\n[admin]", "FILE:29: residence.cool_down: must be an hour or more; only a lab may be quicker"},
		{"a wrong clock", `data = "data"`, "data = \"data\"\nclock_offset = \"5h\"", "FILE:5: clock_offset: is for labs only: remove it, and set the machine's clock"},
		{"a wrong clock in a lab", `data = "data"`, "data = \"data\"\nlab = true\nclock_offset = \"-30m\"", "none"},
		{"small segments", `data = "data"`, "data = \"data\"\nstore_segment = 8192", "FILE:5: store_segment: is for labs only: remove it"},
		{"small segments in a lab", `data = "data"`, "data = \"data\"\nlab = true\nstore_segment = 8192", "none"},
		{"too small segments", `data = "data"`, "data = \"data\"\nlab = true\nstore_segment = 100", "FILE:6: store_segment: must be from 4096 to 67108864 bytes"},
		{"undelete", `data = "data"`, "data = \"data\"\nundelete = \"720h\"", "none"},
		{"no undelete", `data = "data"`, "data = \"data\"\nundelete = \"0\"", "none"},
		{"undelete for years", `data = "data"`, "data = \"data\"\nundelete = \"721h\"", "FILE:5: undelete: must be a duration such as \"168h\", at most 720h"},
		{"undelete backwards", `data = "data"`, "data = \"data\"\nundelete = \"-1h\"", "FILE:5: undelete: must be a duration such as \"168h\", at most 720h"},
		{"undelete in days", `data = "data"`, "data = \"data\"\nundelete = \"7d\"", "FILE:5: undelete: must be a duration such as \"168h\", at most 720h"},
		{"too little memory", `data = "data"`, "data = \"data\"\nmemory = 1048576", "FILE:5: memory: must be 67108864 bytes at least"},
		{"a clock that is no duration", `data = "data"`, "data = \"data\"\nlab = true\nclock_offset = \"late\"", "FILE:6: clock_offset: must be a duration such as \"5h\" or \"-30m\", at most 720h either way"},
		{"a clock of another month", `data = "data"`, "data = \"data\"\nlab = true\nclock_offset = \"-721h\"", "FILE:6: clock_offset: must be a duration such as \"5h\" or \"-30m\", at most 720h either way"},
		{"changes in a row", "[admin]", "[residence]\nbetween = \"5s\"\n[admin]", "FILE:29: residence.between: must be a day or more; only a lab may be quicker"},
		{"no duration between", "[admin]", "[residence]\nbetween = \"seldom\"\n[admin]", "FILE:29: residence.between: must be a duration such as \"4320h\""},
		{"no duration", "[admin]", "[residence]\ncool_down = \"a while\"\n[admin]", "FILE:29: residence.cool_down: must be a duration such as \"336h\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(good, c.from) {
				t.Fatalf("the good file has no %q", c.from)
			}
			if c.want == "none" {
				c.want = "no problem"
			}
			path := setup(t, strings.Replace(good, c.from, c.to, 1))
			_, err := Load(path)
			got := "no problem"
			if err != nil {
				got = strings.ReplaceAll(strings.ReplaceAll(err.Error(), path, "FILE"), filepath.Dir(path), "DIR")
				if _, ok := errors.AsType[Problems](err); !ok || domicile.KindOf(err) != domicile.Invalid {
					t.Errorf("%T is not Problems of kind invalid", err)
				}
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestProblemsOfAWitness(t *testing.T) {
	path := setup(t, strings.Replace(witness, `roles = ["witness"]`, "roles = [\"witness\", \"store\"]\nregion = \"us-east\"\nroot_key = \"root.key\"", 1))
	_, err := Load(path)
	want := strings.Join([]string{
		path + ":2: roles: a witness has no other role: it only cosigns",
		path + ":3: region: a witness belongs to no region and has none; remove it",
		path + ":4: root_key: a witness belongs to no region and has none; remove it",
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestSecretsMustBePrivate(t *testing.T) {
	path := setup(t, good)
	key := filepath.Join(filepath.Dir(path), "identity.pem")
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	want := path + ":7: identity: " + key + " may be read by others (mode 0640); run: chmod 600 " + key
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// A link must not smuggle the root key into the data folder.
func TestRootKeyBehindALink(t *testing.T) {
	path := setup(t, strings.Replace(good, `"root.key"`, `"link/root.key"`, 1))
	dir := filepath.Dir(path)
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "root.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("data", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "root_key: must lie outside data") {
		t.Errorf("got %v", err)
	}
}

func TestLoadNothing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "node.toml"))
	if domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("got %v", err)
	}
}

// What Print shows is a configuration with the same values.
func TestPrint(t *testing.T) {
	path := setup(t, good)
	n, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Print(&out, n); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(again, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Load(again)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := toml.Marshal(n)
	b, _ := toml.Marshal(m)
	if !bytes.Equal(a, b) {
		t.Errorf("%s\n---\n%s", a, b)
	}
	if strings.Contains(out.String(), "secret") {
		t.Error("a secret is printed")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(witness))
	f.Add([]byte("[a.b]\nc = {d = [1, {e = 2}]}\n[[f]]\n'' = 1"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if f := read("node.toml", raw); f.Node == nil && f.Err() == nil {
			t.Fatal("it was not read, and nothing is wrong")
		}
	})
}

// TestTemplate: what it writes has the values that it was given, and a word on every key there is.
func TestTemplate(t *testing.T) {
	path := setup(t, good)
	for _, text := range []string{good, witness} {
		n := read(path, []byte(text)).Node
		out := Template(n)
		f := read(path, out)
		if err := f.Err(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		a, _ := toml.Marshal(n)
		b, _ := toml.Marshal(f.Node)
		if !bytes.Equal(a, b) {
			t.Errorf("%s\n---\n%s", a, b)
		}
		if !strings.Contains(string(out), "# Seeds are gossip addresses of a few nodes") {
			t.Error("the template explains nothing")
		}
		for _, key := range allKeys(reflect.TypeFor[Node]()) {
			if !regexp.MustCompile(`(?m)^(# )?` + key + ` = |^(# )?\[` + key + `\]`).Match(out) {
				t.Errorf("the template has no %s", key)
			}
		}
	}
}

func allKeys(t reflect.Type) (out []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		out = append(out, key)
		if f.Type.Kind() == reflect.Struct {
			out = append(out, allKeys(f.Type)...)
		}
	}
	return out
}

// What others find is told with the rest, by line, and warnings are none of it.
func TestFile(t *testing.T) {
	path := setup(t, strings.Replace(good, `"root.key"`, `"nowhere.key"`, 1))
	f, err := Read(path)
	if err != nil || f.Sound("root_key") || !f.Sound("identity", "names_key") {
		t.Fatal(f, err)
	}
	f.Warn("identity", "ends %s", "soon")
	f.Problem("root_key", "is complained of already")
	f.Problem("names_key", "is %s", "odd")
	want := path + ":5: root_key: no such file: " + filepath.Dir(path) + "/nowhere.key\n" + path + ":8: names_key: is odd"
	if got := f.Err(); got == nil || got.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", got, want)
	}
	if w := f.Warnings(); len(w) != 1 || w[0].String() != path+":7: identity: ends soon" {
		t.Errorf("%v", w)
	}
}
