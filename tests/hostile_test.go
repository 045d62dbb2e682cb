package tests

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/placement"
	"domicile/tests/harness"
)

// rogue calls one node as whoever holds an identity file, with frames of its own.
type rogue struct {
	t    *testing.T
	http *http.Transport
	addr string
}

// rogueOf takes a genuine identity file of the lab to the node of a region.
func rogueOf(t *testing.T, c *harness.Cluster, identity string, at domicile.Node) *rogue {
	t.Helper()
	pem, err := os.ReadFile(c.Path(identity))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pem, pem)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(c.Path(c.Node(at).Config))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "[rpc]\nlisten = '")
	addr, _, ok := strings.Cut(rest, "'")
	if !ok {
		t.Fatalf("no RPC address in %s", raw)
	}
	var h2 http.Protocols
	h2.SetHTTP2(true)
	r := &rogue{t: t, addr: addr, http: &http.Transport{Protocols: &h2, DisableCompression: true,
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}}
	t.Cleanup(r.http.CloseIdleConnections)
	return r
}

// answer is what a call came to: the HTTP status (0: no answer), and of 200 the reply or the error.
type answer struct {
	Status int
	Reply  json.RawMessage
	Error  struct{ Kind, Reason, Detail string }
}

// post makes a call, and returns its answer as it comes.
func (r *rogue) post(method, caseID string, body io.Reader) (*http.Response, error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", "https://"+r.addr+"/rpc/1/"+method, body)
	if err != nil {
		r.t.Fatal(err)
	}
	if caseID != "" {
		req.Header.Set("Domicile-Case", caseID)
	}
	return r.http.RoundTrip(req)
}

func (r *rogue) call(method, caseID string, body io.Reader) (a answer) {
	r.t.Helper()
	res, err := r.post(method, caseID, body)
	if err != nil {
		return a
	}
	defer res.Body.Close()
	a.Status = res.StatusCode
	if a.Status == http.StatusOK && json.NewDecoder(res.Body).Decode(&a) != nil {
		r.t.Errorf("%s: no JSON", method)
	}
	return a
}

// ask sends a small call.
func (r *rogue) ask(method, caseID string, header any) answer {
	return r.call(method, caseID, bytes.NewReader(framed(header, "")))
}

func frame(kind byte, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(b))), b...)
}

func headerFrame(header any) []byte {
	raw, ok := header.([]byte)
	if !ok {
		raw, _ = json.Marshal(header)
	}
	return frame('H', raw)
}

func endFrame(body string, size int) []byte {
	sum := sha256.Sum256([]byte(body))
	return append(binary.BigEndian.AppendUint64([]byte{'E'}, uint64(size)), sum[:]...)
}

// framed is a whole request: header, body, end.
func framed(header any, body string) []byte {
	out := headerFrame(header)
	for rest := body; rest != ""; {
		n := min(len(rest), 60<<10)
		out, rest = append(out, frame('D', []byte(rest[:n]))...), rest[n:]
	}
	return append(out, endFrame(body, len(body))...)
}

type object = map[string]any

// with returns o changed.
func with(o object, key string, value any) object {
	out := object{key: value}
	for k, v := range o {
		if k != key {
			out[k] = v
		}
	}
	return out
}

// TestHostileRegion is a node of us-east in the wrong hands, with its genuine certificate and its region's signing key, that
// calls Ireland (and the other way round, for what only a registrar answers). It reads nothing, writes only what SMTP would
// have let it write, claims for itself alone, and cannot keep others from being served.
func TestHostileRegion(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	password := c.Account(t, ireland, "aoife@example.com", "IE")
	c.Account(t, usEast, "sam@example.com", "US")
	aoife := domicile.AccountID(c.Ctl(t, ireland, "operator", nil, "account", "show", "aoife@example.com").Get("account"))
	if aoife == "" {
		t.Fatal("no account id")
	}
	us := rogueOf(t, c, "us-east-1/identity.pem", ieNode)
	good := object{"v": 1, "id": "evil", "sender": "a@b.example", "recipients": []domicile.AccountID{aoife}, "trace": "Received: from x\r\n\tby y; now\r\n"}
	text := "From: Maeve\r\nSubject: hostile\r\n\r\nbody\r\n"

	t.Run("no method reads", func(t *testing.T) {
		for _, m := range []string{"", "store/messages", "store/body", "message/fetch", "account/read", "account/list", "admin/accounts", "imap/login", "order/submit", "order/list",
			"journal/read", "audit/read", "catalog/get", "move/export", "../admin", "delivery/store/", "delivery", "delivery/fetch", "registrar/list", "registrar/lookup/x"} {
			if a := us.ask(m, "", object{"account": aoife}); a.Status != http.StatusNotFound {
				t.Errorf("%q: %+v", m, a)
			}
		}
	})
	t.Run("names of a region", func(t *testing.T) {
		for _, address := range []string{"aoife@example.com", "nobody@example.com"} {
			if a := us.ask("directory/own", "", object{"address": address}); a.Error.Reason != string(domicile.WrongRegion) || a.Error.Kind != "refused" {
				t.Errorf("%s: %+v", address, a)
			}
		}
	})
	t.Run("deliveries", func(t *testing.T) { hostileDeliveries(t, c, us, aoife, good, text) })
	t.Run("who may deliver", func(t *testing.T) {
		for _, identity := range []string{"witness-1/identity.pem", c.Who(usEast, "operator").Identity, c.Who(ireland, "operator").Identity} {
			who := rogueOf(t, c, identity, ieNode)
			for m, h := range map[string]object{"delivery/store": good, "registrar/claim": {}, "order/told": {"v": 1}} {
				if a := who.call(m, "", bytes.NewReader(framed(h, text))); a.Status == http.StatusOK && a.Reply != nil {
					t.Errorf("%s as %s: %+v", m, identity, a)
				}
			}
		}
	})
	t.Run("a case where none belongs", func(t *testing.T) {
		for _, m := range []string{"delivery/answered", "registrar/lookup", "cosign"} {
			if a := us.ask(m, "c1", object{}); a.Status != http.StatusBadRequest {
				t.Errorf("%s: %+v", m, a)
			}
		}
	})
	t.Run("names", func(t *testing.T) { hostileNames(t, c, aoife) })
	t.Run("moves", func(t *testing.T) { hostileMoves(t, c, us, aoife) })
	t.Run("checkpoints", func(t *testing.T) { hostileCheckpoints(t, c, us) })
	t.Run("every place taken", func(t *testing.T) { everyPlace(t, c, us, good) })
	t.Run("told of orders", func(t *testing.T) {
		for range 100 { // the places taken before are given back when the node notices that their callers are gone
			if us.ask("delivery/answered", "", object{}).Status != http.StatusTooManyRequests {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		n := object{"v": 1, "case": "x", "target": "aoife@example.com", "token_sha256": strings.Repeat("0", 64)}
		for name, h := range map[string]object{"no case": with(n, "case", ""), "no digest": with(n, "token_sha256", "zz"), "another token": with(n, "token", "x"),
			"no address": with(n, "target", "@@"), "nobody": with(n, "target", "nobody@example.com")} {
			if a := us.ask("order/told", "c1", h); a.Status != http.StatusOK || a.Error.Kind == "" {
				t.Errorf("%s: %+v", name, a)
			}
		}
		if a := us.ask("order/told", "", n); a.Status == http.StatusOK {
			t.Errorf("without a case: %+v", a)
		}
		if a := us.ask("order/told", "aoife@example.com", n); a.Status == http.StatusOK {
			t.Errorf("an address for a case: %+v", a)
		}
		opened := 0
		for i := range 150 {
			if a := us.ask("order/told", "c1", with(n, "case", "x"+strconv.Itoa(i))); a.Status == http.StatusOK && a.Error.Kind == "" {
				opened++
			} else if a.Status != http.StatusTooManyRequests {
				t.Fatalf("notice %d: %+v", i, a)
			}
		}
		if opened == 0 || opened > 80 {
			t.Errorf("a flood of 150 notices opened %d cases", opened)
		}
	})
	after := letter("after the attack", "1")
	c.Deliver(t, usNode, "aoife@example.com", after)
	got := c.Inbox(t, ireland, "aoife@example.com", password)
	if len(got) != 2 || !strings.HasSuffix(string(got[0]), text) || !strings.HasSuffix(string(got[1]), string(after)) {
		t.Errorf("%d messages: %q", len(got), got)
	}
}

// hostileDeliveries leaves exactly one message behind: text.
func hostileDeliveries(t *testing.T, c *harness.Cluster, us *rogue, aoife domicile.AccountID, good object, text string) {
	many := make([]domicile.AccountID, 101)
	for i := range many {
		many[i] = domicile.AccountID("a" + strconv.Itoa(i))
	}
	for name, x := range map[string]struct {
		header any
		body   string
	}{
		"another version":       {with(good, "v", 2), text},
		"nobody":                {with(good, "recipients", nil), text},
		"101 recipients":        {with(good, "recipients", many), text},
		"one twice":             {with(good, "recipients", []domicile.AccountID{aoife, aoife}), text},
		"no such account":       {with(good, "recipients", []domicile.AccountID{"nobody"}), text},
		"one that is not there": {with(good, "recipients", []domicile.AccountID{aoife, "nobody"}), text},
		"an address":            {with(good, "recipients", []domicile.AccountID{"aoife@example.com"}), text},
		"a path":                {with(good, "recipients", []domicile.AccountID{"../" + aoife}), text},
		"a sender of lines":     {with(good, "sender", "a@b\r\nBcc: x@y"), text},
		"a trace of fields":     {with(good, "trace", "Received: x\r\nSubject: y\r\n"), text},
		"a trace of nothing":    {with(good, "trace", ""), text},
		"a trace that ends all": {with(good, "trace", "Received: x\r\n\r\n"), text},
		"an id of lines":        {with(good, "id", "x\r\nSubject: y"), text},
		"an address for an id":  {with(good, "id", "aoife@example.com"), text},
		"NUL":                   {good, "a: b\r\n\r\n\x00\r\n"},
		"bare LF":               {good, "a: b\n\nx\r\n"},
		"bare CR":               {good, "a: b\r\n\r\nx\ry\r\n"},
		"no last end of line":   {good, "a: b\r\n\r\nx"},
		"CR at the end":         {good, "a: b\r\n\r\nx\r"},
		"a long line":           {good, "a: b\r\n\r\n" + strings.Repeat("x", 70<<10) + "\r\n"},
		"no JSON":               {[]byte("{"), text},
		"deep JSON":             {[]byte(strings.Repeat("[", 30000)), text},
		"null":                  {[]byte("null"), text},
	} {
		if a := us.call("delivery/store", "", bytes.NewReader(framed(x.header, x.body))); a.Status == http.StatusOK && a.Error.Kind == "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	whole := framed(good, text)
	head, data := headerFrame(good), frame('D', []byte(text))
	for name, raw := range map[string][]byte{
		"nothing": nil, "no header": whole[len(head):], "two headers": append(head, whole...), "cut in the header": whole[:9], "cut in the body": whole[:len(head)+9],
		"no end": append(head, data...), "cut in the end": whole[:len(whole)-1], "bytes behind the end": append(whole[:len(whole):len(whole)], 'x'),
		"another digest": append(append(head[:len(head):len(head)], data...), endFrame(text+"x", len(text))...),
		"another length": append(append(head[:len(head):len(head)], data...), endFrame(text, len(text)+1)...),
		"a huge header":  append(binary.BigEndian.AppendUint32([]byte{'H'}, 1<<32-1), whole...), "a huge frame": append(head[:len(head):len(head)], 'D', 255, 255, 255, 255),
		"an empty frame": append(append(head[:len(head):len(head)], 'D', 0, 0, 0, 0), data...), "an unknown frame": append(head[:len(head):len(head)], 'Q'),
	} {
		if a := us.call("delivery/store", "", bytes.NewReader(raw)); a.Status == http.StatusOK && a.Error.Kind == "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	cut, w := io.Pipe() // the stream is broken off behind a whole body
	go func() {
		w.Write(append(head[:len(head):len(head)], data...))
		w.CloseWithError(errors.New("cut"))
	}()
	if a := us.call("delivery/store", "", cut); a.Status == http.StatusOK && a.Error.Kind == "" {
		t.Errorf("cut: %+v", a)
	}

	var tokens struct{ Tokens []string }
	a := us.call("delivery/store", "", bytes.NewReader(whole))
	if json.Unmarshal(a.Reply, &tokens); len(tokens.Tokens) != 1 {
		t.Fatalf("a delivery in order: %+v", a)
	}
	said := object{"v": 1, "recipients": []domicile.AccountID{aoife}, "tokens": tokens.Tokens, "answered": false}
	for name, h := range map[string]object{"more tokens": with(said, "tokens", append(tokens.Tokens, "x")), "another version": with(said, "v", 2)} {
		if a := us.ask("delivery/answered", "", h); a.Error.Kind == "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	us.ask("delivery/answered", "", with(with(said, "answered", true), "tokens", []string{"smtp-forged"}))
	us.ask("delivery/answered", "", with(with(said, "answered", true), "recipients", []string{"nobody"}))
	if a := us.ask("delivery/answered", "", said); a.Status != http.StatusOK || a.Error.Kind != "" {
		t.Errorf("answered: %+v", a)
	}
	var again struct{ Tokens []string }
	a = us.call("delivery/store", "", bytes.NewReader(whole)) // a replay: its answer was said to be lost
	if json.Unmarshal(a.Reply, &again); len(again.Tokens) != 1 || again.Tokens[0] != tokens.Tokens[0] {
		t.Errorf("replayed: %+v", a)
	}
	us.ask("delivery/answered", "", said)
}

// nameDigest is what stands for an address between regions.
func nameDigest(t *testing.T, c *harness.Cluster, address string) placement.NameDigest {
	t.Helper()
	raw, err := os.ReadFile(c.Path("names.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	d, err := placement.NewDigester(key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := placement.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	return d.Digest(a)
}

// hostileNames has Ireland's node claim at us-east, the registrar.
func hostileNames(t *testing.T, c *harness.Cluster, aoife domicile.AccountID) {
	ie := rogueOf(t, c, "eu-ireland-1/identity.pem", usNode)
	ownKey, err := keys.LoadSigner(c.Path("eu-ireland/signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	digest := func(address string) placement.NameDigest { return nameDigest(t, c, address) }
	record := func(change func(*placement.Ownership)) placement.Ownership {
		o := placement.Ownership{Name: digest("sam@example.com"), Domain: "example.com", Account: "evil", Home: ireland, Epoch: 1, Issued: time.Now().UTC()}
		if change != nil {
			change(&o)
		}
		sig, err := ownKey.Sign(o.Message())
		if err != nil {
			t.Fatal(err)
		}
		o.Signatures = append(o.Signatures, placement.OwnershipSignature{Region: ireland, Signature: sig})
		return o
	}
	forged := record(func(o *placement.Ownership) { o.Home = usEast })
	twice := record(func(o *placement.Ownership) { o.Epoch = 2 })
	twice.Signatures = append(twice.Signatures, placement.OwnershipSignature{Region: usEast, Signature: twice.Signatures[0].Signature})
	unsigned := record(func(o *placement.Ownership) { o.Name = digest("free@example.com") })
	unsigned.Signatures = nil
	changed := record(func(o *placement.Ownership) { o.Name = digest("free@example.com") })
	changed.Account = "evil2"
	for name, x := range map[string]struct {
		o      placement.Ownership
		reason domicile.Reason
	}{
		"somebody's name":        {record(nil), domicile.NameTaken},
		"for another region":     {forged, domicile.WrongRegion},
		"a later epoch":          {record(func(o *placement.Ownership) { o.Epoch = 2 }), domicile.NameTaken},
		"another's signature":    {twice, domicile.NameTaken},
		"unsigned":               {unsigned, domicile.OwnershipUnverified},
		"changed behind the key": {changed, domicile.OwnershipUnverified},
		"no first epoch":         {record(func(o *placement.Ownership) { o.Name, o.Epoch = digest("free@example.com"), 7 }), domicile.OwnershipUnverified},
		"a foreign domain":       {record(func(o *placement.Ownership) { o.Domain = "gov.example" }), domicile.DomainNotServed},
	} {
		if a := ie.ask("registrar/claim", "", x.o); a.Error.Reason != string(x.reason) {
			t.Errorf("claim, %s: %+v, want %s", name, a, x.reason)
		}
	}
	for name, o := range map[string]placement.Ownership{"somebody's name": record(nil), "for another region": forged} {
		if a := ie.ask("registrar/release", "", o); a.Status != http.StatusOK || a.Error.Reason == "" {
			t.Errorf("release, %s: %+v", name, a)
		}
	}
	if a := rogueOf(t, c, "us-east-1/identity.pem", ieNode).ask("registrar/claim", "", record(nil)); a.Error.Reason != string(domicile.WrongRegion) {
		t.Errorf("claimed at who is no registrar: %+v", a)
	}
	own := record(func(o *placement.Ownership) { o.Name, o.Account = digest("free@example.com"), "own" })
	if a := ie.ask("registrar/claim", "", own); a.Error.Kind != "" || a.Status != http.StatusOK {
		t.Errorf("its own claim: %+v", a)
	}
}

// hostileCheckpoints asks Ireland to cosign what it must not.
func hostileCheckpoints(t *testing.T, c *harness.Cluster, us *rogue) {
	cosign := func(r *rogue, old uint64, checkpoint []byte) answer {
		return r.ask("cosign", "", object{"body": audit.WitnessRequest(old, nil, checkpoint)})
	}
	signed := func(key, origin string, size int, root string) []byte {
		s, err := keys.LoadSigner(c.Path(key))
		if err != nil {
			t.Fatal(err)
		}
		return signNote(s, origin+"\n"+strconv.Itoa(size)+"\n"+root+"\n")
	}
	usKey, err := keys.LoadSigner(c.Path("us-east/signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	ieOrigin := strings.Replace(usKey.Name(), "us-east", "eu-ireland", 1)
	root := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for name, cp := range map[string][]byte{
		"garbage": []byte("x"), "Ireland's own log": signed("us-east/signing.key", ieOrigin, 5, root), "another log": signed("us-east/signing.key", "example.org/log", 5, root),
		"signed by another": signed("eu-ireland/signing.key", usKey.Name(), 5, root),
	} {
		if a := cosign(us, 0, cp); a.Status != http.StatusOK || a.Error.Kind == "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	fork := signed("us-east/signing.key", usKey.Name(), 1, root)
	if a := cosign(us, 1, fork); len(a.Reply) > 0 && strings.Contains(string(a.Reply), "line") {
		t.Errorf("a fork of a log was cosigned: %+v %s", a, a.Reply)
	}
}

// everyPlace takes as many calls at once as it gets, and lets them hang: mail and reading go on in Ireland.
func everyPlace(t *testing.T, c *harness.Cluster, us *rogue, good object) {
	refused := make(chan int, 700)
	var pipes []*io.PipeWriter
	for range 700 {
		r, w := io.Pipe()
		pipes = append(pipes, w)
		go func() { refused <- us.call("delivery/store", "", r).Status }()
		go w.Write(append(headerFrame(good), frame('D', []byte("a: b\r\n"))...))
	}
	tooMany := 0
	for wait := time.After(5 * time.Second); tooMany < 700-256; {
		select {
		case status := <-refused:
			if status == http.StatusTooManyRequests {
				tooMany++
			}
			continue
		case <-wait:
		}
		break
	}
	if tooMany == 0 {
		t.Error("none of 700 hanging calls was refused")
	}
	if a := rogueOf(t, c, "eu-ireland-1/identity.pem", ieNode).ask("registrar/lookup", "", object{}); a.Status != http.StatusOK {
		t.Errorf("another region's call while one hangs on to every place: %+v", a)
	}
	c.Account(t, ireland, "busy@example.com", "IE") // claims at us-east, whose answers come back
	s := letter("while busy", "1")
	c.Deliver(t, ieNode, "busy@example.com", s)
	for _, p := range pipes {
		p.CloseWithError(errors.New("enough"))
	}
}

// signNote makes a C2SP signed note.
func signNote(s *keys.Signer, text string) []byte {
	id := sha256.Sum256(append([]byte(s.Name()+"\n\x01"), s.Public()...))
	sig, _ := s.Sign([]byte(text)) // never fails
	return []byte(text + "\n\u2014 " + s.Name() + " " + base64.StdEncoding.EncodeToString(append(id[:4:4], sig...)) + "\n")
}
