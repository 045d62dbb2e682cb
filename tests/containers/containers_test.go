package containers

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
	"domicile/tests/scan"
)

func TestMain(m *testing.M) { harness.Main(m) }

// The nodes of docker-compose.yml, and a customer of each region.
const (
	usEast, ireland, sydney = domicile.Region("us-east"), domicile.Region("eu-ireland"), domicile.Region("ap-sydney")
	us, ie, front, au       = domicile.Node("us-east-1"), domicile.Node("eu-ireland-1"), domicile.Node("eu-ireland-2"), domicile.Node("ap-sydney-1")
	ann, sam, kim           = domicile.Address("ann@example.com"), domicile.Address("sam@example.com"), domicile.Address("kim@example.com")
)

// run is the cluster with its customers and their mail.
type run struct {
	*engine
	*post
	passwords map[domicile.Address]string
}

// TestContainers brings docker-compose.yml up and takes it through a day on which everything happens. Every part leaves the
// cluster whole; at the end of each, what was answered with 250 is counted.
func TestContainers(t *testing.T) {
	e := start(t)
	r := &run{engine: e, passwords: map[domicile.Address]string{}}
	r.post = &post{ctx: e.ctx, at: func(n domicile.Node) string { return e.Node(n).SMTP }}
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{{"who sees what", r.isolation}, {"the story", r.story}, {"by hand", r.byHand}, {"a region cut off", r.cut}, {"kill -9", r.kills}, {"all stopped and started", r.stopAll},
		{"impostors", r.impostors}, {"one restart after another", r.rolling}, {"what rests where", r.rest}} {
		if !t.Run(part.name, part.run) {
			t.Fatalf("what comes after %q would build on sand", part.name)
		}
	}
}

// isolation reads what the engine was told, not what the compose file means to say.
func (r *run) isolation(t *testing.T) {
	for _, name := range r.names() {
		var seen []struct {
			Mounts     []struct{ Type, Source string }
			HostConfig struct {
				PortBindings   map[string][]struct{ HostIp string }
				ReadonlyRootfs bool
			}
			NetworkSettings struct{ Networks map[string]any }
		}
		if err := json.Unmarshal([]byte(r.must(t, "docker", "inspect", r.container(name))), &seen); err != nil || len(seen) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		region, networks := "", []string{r.project + "_wide"}
		if n := r.Node(name); n != nil {
			region, networks = string(n.Region), []string{r.project + "_" + string(n.Region), r.project + "_wide"}
		}
		for n := range seen[0].NetworkSettings.Networks {
			if !slices.Contains(networks, n) {
				t.Errorf("%s is on the network %s", name, n)
			}
		}
		if len(seen[0].NetworkSettings.Networks) != len(networks) || !seen[0].HostConfig.ReadonlyRootfs {
			t.Errorf("%s: %+v", name, seen[0])
		}
		for port, at := range seen[0].HostConfig.PortBindings {
			if len(at) != 1 || at[0].HostIp != "127.0.0.1" {
				t.Errorf("%s publishes %s at %v", name, port, at)
			}
		}
		may := []string{string(name) + "/identity.pem", string(name) + "/signing.key", region + "/root.key", region + "/signing.key", region + "/wraps", "names.key", "gossip.key"}
		secrets := 0
		for _, m := range seen[0].Mounts {
			if m.Type == "bind" {
				secrets += r.secrets(t, name, m.Source, may)
			}
		}
		if secrets < 3 {
			t.Errorf("%s was seen to have %d secrets: the search proves nothing", name, secrets)
		}
	}
	if inside := r.must(t, "docker", "network", "inspect", "-f", "{{.Internal}}", r.project+"_wide"); inside != "true" {
		t.Error("the wide network leads out")
	}
}

// secrets counts the files below source that nobody but their owner may read, all of which must be in may, or their folders.
func (r *run) secrets(t *testing.T, name domicile.Node, source string, may []string) (n int) {
	err := filepath.WalkDir(source, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			return err
		}
		n++
		if rel, err := filepath.Rel(r.Dir, path); err != nil || !slices.Contains(may, rel) && !slices.Contains(may, filepath.Dir(rel)) {
			t.Errorf("%s is given %s", name, path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

// story is the demo's, in short: mail finds its home from everywhere, and what is asked for abroad is refused.
func (r *run) story(t *testing.T) {
	r.passwords[ann] = r.Account(t, ireland, string(ann), "IE")
	r.passwords[sam] = r.Account(t, usEast, string(sam), "US")
	r.passwords[kim] = r.Account(t, sydney, string(kim), "NZ")
	for _, c := range []struct {
		at              domicile.Region
		residence, code string
	}{{usEast, "FR", "wrong_region"}, {ireland, "AU", "wrong_region"}, {ireland, "XX", "unknown_country"}, {sydney, "BR", "residence_not_served"}} {
		got := r.Ctl(t, c.at, "operator", []byte("correct-horse-battery\n"), "account", "create", "lee@example.com", "--residence", c.residence, "--password-stdin")
		if got.Code != 3 || got.Get("refused") != c.code {
			t.Errorf("residence %s in %s: %s", c.residence, c.at, got)
		}
	}
	for _, at := range []domicile.Node{us, ie, front, au} {
		for _, to := range []domicile.Address{ann, sam, kim} {
			if err := r.deliver(at, r.write(to)); err != nil {
				t.Error(err)
			}
		}
	}
	r.count(t)
	home := r.inbox(t, ann)
	for _, at := range []domicile.Node{us, front, au} {
		if got := r.inboxAt(t, at, ann); !slices.EqualFunc(got, home, bytes.Equal) {
			t.Errorf("at %s an Irish customer reads %d messages, and not those that are read at home", at, len(got))
		}
	}

	got := r.Ctl(t, usEast, "operator", nil, "account", "export", string(ann), "--to", filepath.Join(t.TempDir(), "export"))
	if got.Code != 3 || got.Get("refused") != "no_token" {
		t.Errorf("headquarters asks for Irish mail: %s", got)
	}
	r.verified(t, got)
	warrant := r.WarrantToken(t, string(ann))
	if got = r.Ctl(t, ireland, "legal", nil, "order", "submit", "--token", warrant, "--target", string(ann)); got.Code != 3 || got.Get("refused") != "conflict_of_laws" {
		t.Errorf("a US warrant in Ireland: %s", got)
	}
	r.verified(t, got)
}

// byHand runs the commands that docs/OPERATING.md gives people, as they stand there, at this run's ports.
func (r *run) byHand(t *testing.T) {
	harness.Need(t, "curl", "apt-get install curl")
	text, err := os.ReadFile(filepath.Join(harness.Root(t), "docs", "OPERATING.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, words, _ := strings.Cut(string(text), "\n## Containers\n")
	_, words, _ = strings.Cut(words, "\nThen, from the host")
	_, words, _ = strings.Cut(words, "\n```\n")
	words, _, _ = strings.Cut(words, "\n```\n")
	words = strings.ReplaceAll(words, "127.0.0.1:200", "127.0.0.1:"+r.ports)
	words = strings.ReplaceAll(words, "domicile-compose/", r.Dir+"/")
	out, err := r.run("sh", "-eu", "-c", words)
	if err != nil || strings.Count(words, "\n") < 4 || !strings.HasSuffix(out, "by us-east") {
		t.Errorf("%s\n%v\n%s", words, err, out)
	}
}

// verified wants the receipt of an answer to verify offline.
func (r *run) verified(t *testing.T, of harness.Result) {
	t.Helper()
	if v := r.Run(t, nil, "receipt", "verify", of.Get("receipt"), "--pins", r.Path(r.Pins)); v.Code != 0 {
		t.Errorf("the receipt: %s", v)
	}
}

// cut takes Ireland off the wide network, in the middle of everything, and puts it back.
func (r *run) cut(t *testing.T) {
	treaty := r.TreatyToken(t, string(ann))
	legal := func(args ...string) harness.Result { return r.Ctl(t, ireland, "legal", nil, args...) }
	r.off(t, ie)
	r.off(t, front)

	// Elsewhere mail for it waits with its senders, and all else goes on.
	var waiting []*letter
	for _, at := range []domicile.Node{us, au} {
		l := r.write(ann)
		if code, err := r.try(at, l); code != 451 {
			t.Errorf("mail for Ireland at %s: %d, %v", at, code, err)
		}
		waiting = append(waiting, l)
	}
	for _, to := range []domicile.Address{sam, kim} {
		if code, err := r.try(us, r.write(to)); code != 250 {
			t.Errorf("mail for %s at us-east: %d, %v", to, code, err)
		}
	}
	var senders sync.WaitGroup
	for i := range 8 {
		at := []domicile.Node{us, au}[i%2]
		l := r.write(ann)
		if i < len(waiting) {
			l = waiting[i]
		}
		senders.Go(func() {
			if err := r.deliver(at, l); err != nil {
				t.Error(err)
			}
		})
	}
	defer senders.Wait()

	// Inside, mail and logins go on, by the store and by the front, also after both were started anew.
	r.inside(t)
	r.eventually(t, "Ireland to see that it is alone", func() bool { return slices.Equal(r.alive(t, ireland), []string{string(ie), string(front)}) })
	r.inside(t)
	r.halt(t, front, ie)
	r.launch(t, ie, front)
	r.eventually(t, "Ireland to find itself again", func() bool { return slices.Equal(r.alive(t, ireland), []string{string(ie), string(front)}) })
	r.inside(t)

	// An order is decided and its production made; what leaves needs those who are out of reach, and so does a new name.
	opened := legal("order", "submit", "--token", treaty, "--target", string(ann))
	if opened.Code != 0 || opened.Get("decision") != "execute" {
		t.Fatalf("an order under the treaty: %s", opened)
	}
	id := opened.Get("case")
	if got := legal("order", "produce", id, "--to", filepath.Join(r.dir, "production")); got.Code != 0 {
		t.Fatalf("produce: %s", got)
	}
	if got := legal("order", "release", id); got.Code != 4 || got.Get("code") != "quorum_not_reached" {
		t.Errorf("release while cut off: %s", got)
	}
	told := func() bool { return strings.Contains(string(legal("order", "ls").Out), `"told by us-east"`) }
	onParent := r.ParentWarrantToken(t, string(ann))
	if got := r.Ctl(t, usEast, "legal", nil, "order", "submit", "--token", onParent, "--target", string(ann)); got.Code != 0 ||
		got.Get("code") != "content_stored_abroad" || got.Get("awaiting") != string(ireland) || !strings.Contains(got.Get("detail"), "could not be told yet") {
		t.Errorf("a warrant on the US parent, while Ireland cannot be told: %s", got)
	}
	if told() {
		t.Error("Ireland was told all the same")
	}
	create := []string{"account", "create", "nora@example.com", "--residence", "IE", "--password-stdin"}
	if got := r.Ctl(t, ireland, "operator", []byte("correct-horse-battery\n"), create...); got.Code != 4 {
		t.Errorf("a new name while its registrar is out of reach: %s", got)
	}

	r.on(t, ie)
	r.on(t, front)
	r.together(t)
	senders.Wait()
	released := legal("order", "release", id, "--wait", "2m")
	if released.Code != 0 {
		t.Fatalf("release: %s", released)
	}
	r.verified(t, released)
	if raw, err := os.ReadFile(released.Get("archive")); err != nil || !strings.HasPrefix(string(raw), "age-encryption.org/v1") {
		t.Errorf("the archive: %v", err)
	}
	if got := r.Ctl(t, ireland, "operator", []byte("correct-horse-battery\n"), create...); got.Code != 0 {
		t.Errorf("the new name: %s", got)
	}
	r.eventually(t, "Ireland to be told of the warrant on the parent", told)
	r.count(t)
}

// inside is mail within Ireland while it is alone.
func (r *run) inside(t *testing.T) {
	t.Helper()
	for _, at := range []domicile.Node{ie, front} {
		l := r.write(ann)
		if code, err := r.try(at, l); code != 250 {
			t.Errorf("mail for Ireland at %s: %d, %v", at, code, err)
		}
		if box := r.inboxAt(t, at, ann); !strings.Contains(string(slices.Concat(box...)), "\r\nSubject: "+l.word+"\r\n") {
			t.Errorf("mail that %s took is not in the mailbox", at)
		}
		if code, err := r.try(at, r.write(sam)); code != 451 {
			t.Errorf("mail for us-east at %s: %d, %v", at, code, err)
		}
	}
	if got := r.Ctl(t, ireland, "operator", nil, "account", "show", string(ann)); got.Code != 0 {
		t.Errorf("its operators: %s", got)
	}
}

// kills ends nodes by SIGKILL while mail comes in at all regions for all regions.
func (r *run) kills(t *testing.T) {
	stop := r.flow(t, []domicile.Node{us, front, au}, ann, sam, kim)
	defer stop()
	for _, victims := range [][]domicile.Node{{ie}, {us}, {front}, {ie, us}, {au, domicile.Node(r.Witness.Name)}, {ie, front}} {
		r.goesOn(t)
		r.kill9(t, victims...)
		r.launch(t, victims...)
	}
	r.goesOn(t)
	stop()
	r.together(t)
	r.count(t)
}

// stopAll is the evening and the next morning, by docker-compose's own words, while senders go on trying.
func (r *run) stopAll(t *testing.T) {
	stop := r.flow(t, []domicile.Node{us, front, au}, ann, sam, kim)
	defer stop()
	r.goesOn(t)
	r.must(t, "docker-compose", "stop", "-t", "60")
	for _, n := range r.names() {
		if state := r.must(t, "docker", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", r.container(n)); state != "exited 0" {
			t.Errorf("%s: %s", n, state)
		}
	}
	r.must(t, "docker-compose", "up", "-d")
	r.healthy(t)
	r.together(t)
	r.goesOn(t)
	stop()
	r.count(t)
}

// rolling is an upgrade: each node in turn is stopped and started, and mail is taken all the time.
func (r *run) rolling(t *testing.T) {
	stop := r.flow(t, []domicile.Node{us, front, au}, ann, sam, kim)
	defer stop()
	for _, n := range r.names() {
		r.goesOn(t)
		r.halt(t, n)
		r.launch(t, n)
		r.together(t)
	}
	r.goesOn(t)
	stop()
	r.count(t)
}

// goesOn waits until some more letters have been answered with 250.
func (r *run) goesOn(t *testing.T) {
	t.Helper()
	before := r.answers()
	r.eventually(t, "mail to be taken", func() bool { return r.answers() >= before+6 })
}

// count holds all mailboxes against the books.
func (r *run) count(t *testing.T) {
	t.Helper()
	boxes := map[domicile.Address][][]byte{}
	for _, a := range []domicile.Address{ann, sam, kim} {
		boxes[a] = r.inbox(t, a)
	}
	r.judge(t, boxes)
}

// inbox reads a mailbox at home, over IMAPS.
func (r *run) inbox(t *testing.T, a domicile.Address) [][]byte {
	t.Helper()
	return r.inboxAt(t, map[domicile.Address]domicile.Node{ann: ie, sam: us, kim: au}[a], a)
}

// inboxAt reads a mailbox at any node.
func (r *run) inboxAt(t *testing.T, at domicile.Node, a domicile.Address) [][]byte {
	t.Helper()
	ca, err := os.ReadFile(r.Path(r.CA[string(r.Node(at).Region)]))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	got, err := lab.ReadMailTLS(r.engine.ctx, r.Node(at).IMAPS, &tls.Config{RootCAs: pool, ServerName: "localhost"}, string(a), r.passwords[a], "INBOX")
	if err != nil {
		t.Fatalf("the mailbox of %s at %s: %v", a, at, err)
	}
	return got
}

// alive returns the nodes that a region's storing node knows to be alive, by name; none while it cannot be asked.
func (e *engine) alive(t testing.TB, region domicile.Region) (names []string) {
	t.Helper()
	got := e.Ctl(t, region, "operator", nil, "node", "ls")
	var nodes []struct {
		Node  string `json:"name"`
		Alive bool   `json:"alive"`
	}
	if got.Code != 0 || json.Unmarshal(got.Out, &nodes) != nil {
		return nil
	}
	for _, n := range nodes {
		if n.Alive {
			names = append(names, n.Node)
		}
	}
	slices.Sort(names)
	return names
}

// off and on take a node off the wide network and put it back where it was.
func (r *run) off(t *testing.T, n domicile.Node) {
	t.Helper()
	r.must(t, "docker", "network", "disconnect", r.project+"_wide", r.container(n))
}

func (r *run) on(t *testing.T, n domicile.Node) {
	t.Helper()
	r.must(t, "docker", "network", "connect", "--ip", r.wide(t, n), r.project+"_wide", r.container(n))
}

// wide is the address that a node tells the other regions.
func (r *run) wide(t *testing.T, n domicile.Node) string {
	t.Helper()
	host, _, _ := strings.Cut(r.advertised(t, n, "rpc"), ":")
	return host
}

// rest looks at the disks when all is over: mail of an Irish account is in no file of another region, nor of a front, and in
// its own nowhere readable; logs hold nobody's address; audit logs and stores are sound.
func (r *run) rest(t *testing.T) {
	r.halt(t, r.names()...)
	after := filepath.Join(r.dir, "after") // a copy of the lab, with what is in the volumes where a node without containers has it
	r.must(t, "cp", "-a", r.Dir, after)
	var err error
	if r.Lab, err = lab.Load(after); err != nil {
		t.Fatal(err)
	}
	for _, name := range r.names() {
		text := r.must(t, "docker", "logs", r.container(name))
		if err := os.WriteFile(r.Path(string(name)+"/node.log"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		data := r.Path(string(name) + "/data")
		if err := os.Remove(data); err != nil { // empty: the volume was mounted on it
			t.Fatal(err)
		}
		r.must(t, "docker", "cp", r.container(name)+":/lab/"+string(name)+"/data", data)
		hits, files, err := scan.Tree(data, mark, string(ann), string(sam), string(kim), "maeve@sender")
		if err != nil || len(hits) > 0 || files < 2 {
			t.Errorf("%s: %v in %d files, %v", name, hits, files, err)
		}
		if hits, _, err := scan.Tree(data, string(name)); err != nil || len(hits) == 0 { // its stamp, in the clear
			t.Errorf("%s: not even its own name is found: the search proves nothing (%v)", name, err)
		}
	}
	for _, n := range r.Nodes {
		if n.Admin != "" {
			r.CheckStore(t, n)
		}
	}
	if err := r.Check(); err != nil {
		t.Error(err)
	}
}
