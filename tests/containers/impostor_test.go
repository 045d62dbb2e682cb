package containers

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"domicile"
	"domicile/config"
	"domicile/tests/scan"
)

// impostors come to a cluster that goes on taking mail: a node with another region's data folder, a copy of a node at another
// address, and a member of the gossip that has its key and no certificate.
func (r *run) impostors(t *testing.T) {
	stop := r.flow(t, []domicile.Node{us, front, au}, ann, sam, kim)
	defer stop()
	t.Run("another region's data folder", r.wrongFolder)
	t.Run("another's name", r.twin)
	t.Run("a rogue member", r.rogue)
	r.goesOn(t)
	stop()
	r.together(t)
	r.count(t)
}

// mounts are the options that give a container what the node of that name is given, from its compose service.
func (r *run) mounts(t *testing.T, n domicile.Node, but ...string) (options []string) {
	t.Helper()
	binds := r.must(t, "docker", "inspect", "-f", `{{range .HostConfig.Binds}}{{println .}}{{end}}`, r.container(n))
	for bind := range strings.Lines(binds) {
		bind = strings.TrimSpace(bind)
		skip := bind == ""
		for _, b := range but {
			skip = skip || strings.Contains(bind+":", ":"+b+":")
		}
		if !skip {
			options = append(options, "-v", bind)
		}
	}
	if len(options) < 10 {
		t.Fatalf("%s has the mounts %v", n, options)
	}
	return options
}

// wrongFolder starts us-east's node on a copy of Ireland's volume: another region's data is opened by nobody.
func (r *run) wrongFolder(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "data")
	r.must(t, "docker", "cp", r.container(ie)+":/lab/"+string(ie)+"/data", copied)
	options := append(r.mounts(t, us, "/lab/us-east-1/data"), "--network", "none", "-v", copied+":/lab/us-east-1/data", r.image, "serve", "--config", "/lab/us-east-1/node.toml")
	out, code := r.aside(t, options...)
	if code != 1 || !strings.Contains(out, "wrong_region") || strings.Contains(out, `"ready":true`) {
		t.Errorf("us-east was given Ireland's data: exit %d: %s", code, out)
	}
}

// twin starts a copy of Ireland's storing node, its certificate and keys included, at other addresses: it started later, and
// ends itself; the first one goes on, at the address that all know.
func (r *run) twin(t *testing.T) {
	raw, err := os.ReadFile(r.Path(r.Node(ie).Config))
	if err != nil {
		t.Fatal(err)
	}
	own := regexp.MustCompile(regexp.QuoteMeta(r.net) + `\.(70|72)\.12:`)
	if found := own.FindAll(raw, -1); len(found) < 4 {
		t.Fatalf("the configuration has %d addresses of its own to change:\n%s", len(found), raw)
	}
	altered := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(altered, own.ReplaceAll(raw, []byte(r.net+".$1.77:")), 0o600); err != nil {
		t.Fatal(err)
	}
	name := r.project + "-twin"
	create := append([]string{"create", "--name", name, "--label", r.project, "--network", r.project + "_eu-ireland", "--ip", r.net + ".72.77",
		"-v", altered + ":/lab/eu-ireland-1/node.toml:ro", "-v", t.TempDir() + ":/lab/eu-ireland-1/data"}, r.mounts(t, ie, "/lab/eu-ireland-1/data")...)
	r.must(t, "docker", append(create, r.image, "serve", "--config", "/lab/eu-ireland-1/node.toml")...)
	r.must(t, "docker", "network", "connect", "--ip", r.net+".70.77", r.project+"_wide", name)
	r.must(t, "docker", "start", name)
	r.eventually(t, "the twin to end", func() bool {
		return strings.HasPrefix(r.must(t, "docker", "inspect", "-f", "{{.State.Status}}", name), "exited")
	})
	said := r.must(t, "docker", "logs", name)
	if code := r.must(t, "docker", "inspect", "-f", "{{.State.ExitCode}}", name); code != "1" || !strings.Contains(said, "another living node has the name eu-ireland-1") {
		t.Errorf("the twin ended with %s and said %s", code, said)
	}
	r.stillAt(t, ie)
}

// stillAt wants every region to know a node at its own address.
func (r *run) stillAt(t *testing.T, n domicile.Node) {
	t.Helper()
	rpc := r.advertised(t, n, "rpc")
	for _, region := range []domicile.Region{usEast, ireland, sydney} {
		if got := r.Ctl(t, region, "operator", nil, "node", "ls"); !strings.Contains(string(got.Out), `"`+rpc+`"`) {
			t.Errorf("%s no longer knows %s at %s: %s", region, n, rpc, got)
		}
	}
}

// advertised is the address of a node's rpc or gossip that others are told.
func (r *run) advertised(t *testing.T, n domicile.Node, what string) string {
	t.Helper()
	c, err := config.Load(r.Path(string(n) + "/node.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if what == "gossip" {
		return c.Gossip.Advertise
	}
	return c.RPC.Advertise
}

// rogue lets a member into the gossip that has its key and says that it holds Ireland's store, under a new name and under that
// of the true one. It is told nothing: whoever calls it asks for a certificate first, and goes to the true node then.
func (r *run) rogue(t *testing.T) {
	const liar = "eu-ireland-0" // sorts before the true node
	name, ip := r.project+"-rogue", r.net+".70.66"
	r.must(t, "docker", "run", "-d", "--name", name, "--label", r.project, "--network", r.project+"_wide", "--ip", ip, "-v", filepath.Join(r.dir, "rogue")+":/rogue:ro",
		"-v", r.Path("gossip.key")+":/gossip.key:ro", "--entrypoint", "/rogue/rogue", r.image, ip, "/gossip.key", r.advertised(t, us, "gossip"), "eu-ireland", liar, string(ie))
	r.eventually(t, "us-east to be told of the rogue", func() bool {
		return strings.Contains(string(r.Ctl(t, usEast, "operator", nil, "node", "ls").Out), `"`+liar+`"`)
	})
	r.eventually(t, "the rogue to have tried both names", func() bool {
		said := r.must(t, "docker", "logs", name)
		return strings.Contains(said, liar+" joined") && strings.Contains(said, "\n"+string(ie)+" ")
	})
	r.stillAt(t, ie)
	r.eventually(t, "the rogue to be called", func() bool {
		r.halt(t, us) // so that it does not remember who answered before
		r.launch(t, us)
		if err := r.deliver(us, r.write(ann)); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(r.must(t, "docker", "logs", name), "heard ")
	})
	heard := r.must(t, "docker", "logs", name)
	for line := range strings.Lines(heard) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "heard "); ok {
			raw, err := hex.DecodeString(text)
			if err != nil || len(scan.Bytes(raw, mark, string(ann), "maeve")) > 0 {
				t.Errorf("the rogue heard %q, %v", raw, err)
			}
		}
	}
	if got := r.Ctl(t, usEast, "operator", nil, "node", "ls"); strings.Count(string(got.Out), `"`+ip+`:`) != 1 { // as the liar, and as nobody else
		t.Errorf("the rogue is not where it should be: %s", got)
	}
	r.must(t, "docker", "rm", "-fv", name)
	r.together(t) // without it
	r.stillAt(t, ie)
}
