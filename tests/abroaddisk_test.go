package tests

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/tests/harness"
	"domicile/tests/scan"
)

// TestAbroadLeavesNothing reads, appends and idles at us-east, by a front that sees the mail, by one without a store, and passed
// through unread; then us-east is killed in the middle of an APPEND and of a FETCH. What it relayed is in no file of it, nor the
// password, and at home the mail is sealed. At home an APPEND that was cut off is not there, and one that was acknowledged is there once.
func TestAbroadLeavesNothing(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--nodes", "2"}, harness.TwoRegions...)...)
	c.StartAll(t)
	marker := strings.ToLower(domicile.NewID("mk")[:18])
	address := marker + "@example.com"
	password := c.Account(t, ireland, address, "IE")
	whole := marked(marker, address, 1)
	c.Deliver(t, ieNode, address, whole)
	var kept [][]byte
	enter := func(node domicile.Node) *reader {
		k := dialIMAP(t, c.Node(node).IMAP)
		k.want("LOGIN "+address+" "+password, "OK")
		return k
	}
	passed, err := tlsTo(t, c, c.Node(usNode).IMAPS, ireland, "eu-ireland.example.com")
	if err != nil {
		t.Fatal(err)
	}
	through := newReader(t, passed)
	through.want("LOGIN "+address+" "+password, "OK")
	for i, k := range []*reader{enter(usNode), enter("us-east-2"), through} {
		k.want("SELECT INBOX", "OK")
		expect(t, [][]byte{k.read(1)}, whole)
		k.want("UID STORE 1 +FLAGS ("+marker+")", "OK")
		k.want("CREATE "+marker+strconv.Itoa(i), "OK")
		mine := marked(marker, address, i+2)
		if got := k.upload("Drafts", mine); !strings.HasPrefix(got, "OK [APPENDUID") {
			t.Fatalf("APPEND: %q", got)
		}
		kept = append(kept, mine)
		io.WriteString(k, "i IDLE\r\n")
		if got := k.line(); !strings.HasPrefix(got, "+ ") {
			t.Fatalf("IDLE: %q", got)
		}
		c.Deliver(t, ieNode, address, marked(marker, address, i+10))
		for got := ""; !strings.HasSuffix(got, " EXISTS"); got = k.line() {
			if strings.HasSuffix(got, "CLOSED") {
				t.Fatal("the connection ended while it idled")
			}
		}
		io.WriteString(k, "DONE\r\n")
		for got := ""; !strings.HasPrefix(got, "i OK"); got = k.line() {
			if strings.HasSuffix(got, "CLOSED") {
				t.Fatal("the connection ended behind IDLE")
			}
		}
	}
	for _, node := range []domicile.Node{usNode, "us-east-2"} { // half an APPEND, and half an answer
		half := enter(node)
		fmt.Fprintf(half, "h APPEND Drafts {%d}\r\n", 1<<20)
		if got := half.line(); !strings.HasPrefix(got, "+ ") {
			t.Fatalf("APPEND: %q", got)
		}
		half.Write(marked(marker, address, 99))
		reading := enter(node)
		reading.want("SELECT INBOX", "OK")
		io.WriteString(reading, "f FETCH 1:* BODY.PEEK[]\r\n")
		reading.line()
		c.Kill9(t, node)
		if _, err := io.ReadAll(half.r); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Error(err)
		}
	}
	home := enter(ieNode)
	harness.Eventually(t, 2*time.Minute, "home to learn that the sessions are cut", func() bool {
		_, text := get(t, c.Home(ireland).HTTP, "/metrics")
		return strings.Contains(text, "\ndomicile_relayed_sessions{side=\"home\"} 0\n")
	})
	home.want("SELECT Drafts", "OK")
	if before := home.want("STATUS Drafts (MESSAGES)", "OK"); !strings.Contains(before, "(MESSAGES 3)") {
		t.Errorf("Drafts: %q, want the 3 that were acknowledged", before)
	}
	for i, want := range kept {
		if got := home.read(i + 1); string(got) != string(want) {
			t.Errorf("message %d of Drafts came back otherwise", i+1)
		}
	}
	if len(c.Inbox(t, ireland, address, password)) != 4 {
		t.Error("INBOX is not what was delivered")
	}
	c.Kill9(t, ieNode)
	hits, files, err := scan.Tree(c.Root, marker, password)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hits {
		t.Error(h)
	}
	if files < 30 {
		t.Errorf("only %d files were searched", files)
	}
	control(t, c, marker)
}

// TestSlowReadersAbroad has many clients at us-east ask for far more than either node may hold for them, and read nothing. Both
// nodes stay small, and another client, by the same front, reads all of it.
func TestSlowReadersAbroad(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	password := c.Account(t, ireland, "aoife@example.com", "IE")
	const size, count, rounds, slow = 256 << 10, 32, 4, 40 // each client asks for 32 MiB
	text := letter("large", strings.Repeat(strings.Repeat("x", 62)+"\r\n", size/64))
	for range count {
		c.Deliver(t, ieNode, "aoife@example.com", text)
	}
	before := map[domicile.Node]int64{}
	for _, node := range []domicile.Node{usNode, ieNode} {
		before[node] = resident(t, c, node)
	}
	ask := "FETCH 1:* (" + strings.TrimSuffix(strings.Repeat("BODY.PEEK[] ", rounds), " ") + ")\r\n"
	enter := func() *reader {
		k := dialIMAP(t, c.Node(usNode).IMAP)
		k.want("LOGIN aoife@example.com "+password, "OK")
		k.want("SELECT INBOX", "OK")
		return k
	}
	for range slow {
		k := enter()
		k.Conn.(*net.TCPConn).SetReadBuffer(4096)
		io.WriteString(k, "s "+ask)
	}
	k := enter()
	io.WriteString(k, "a "+ask)
	if n, err := io.CopyN(io.Discard, k.r, count*rounds*int64(len(text))); err != nil {
		t.Fatalf("the client that reads got %d bytes: %v", n, err)
	}
	most := int64(160 << 20) // the slow ones want 1280 MiB
	if harness.Race {
		most *= 4
	}
	for _, node := range []domicile.Node{usNode, ieNode} {
		grew := resident(t, c, node) - before[node]
		t.Logf("%s grew by %d KiB", node, grew>>10)
		if grew > most {
			t.Errorf("%s grew by %d MiB for clients that do not read", node, grew>>20)
		}
	}
}

var residentBytes = regexp.MustCompile(`(?m)^process_resident_memory_bytes (\S+)$`)

// resident is how much memory a node has.
func resident(t *testing.T, c *harness.Cluster, node domicile.Node) int64 {
	t.Helper()
	_, text := get(t, c.Node(node).HTTP, "/metrics")
	m := residentBytes.FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no memory in the scrape")
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n)
}
