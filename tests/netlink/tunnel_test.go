package netlink

import (
	"encoding/binary"
	"strings"
	"testing"

	"domicile"
	"domicile/region"
)

// framed makes a frame with a length.
func framed(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)))) + body
}

// credited makes the frame by which a receiver gives credit.
func credited(n uint32) string { return string(binary.BigEndian.AppendUint32([]byte{'W'}, n)) }

func session(there, back string) (*Call, error) {
	k := &Call{Link: Link{"us-east-1", "eu-ireland-1"}, Method: "session/imap", Status: "200", At: began, Answered: began,
		Request: []byte(framed('H', `{"client":"x"}`) + there), Answer: []byte(framed('H', `{"reply":{}}`) + back),
		requestAt: stamps{{0, began}}, answerAt: stamps{{0, began}}}
	return k, k.open()
}

// TestSessionShape wants a usual session read whole, and finds what has no place in one.
func TestSessionShape(t *testing.T) {
	k, err := session(framed('D', "a NOOP\r\n")+"K"+credited(6)+"F", framed('L', `{"account":"a1"}`)+framed('D', "a OK\r\n")+credited(8)+"F")
	if err != nil || !k.Ended || string(k.Body) != "a NOOP\r\n" || string(k.Back) != "a OK\r\n" || string(k.Note) != `{"account":"a1"}` ||
		string(k.Header) != `{"client":"x"}` || !k.BodyAt.Equal(began) {
		t.Errorf("%+v, %v", k, err)
	}
	for name, c := range map[string][2]string{
		"credit for nothing":        {credited(1), ""},
		"more credit than was read": {credited(7), framed('D', "a OK\r\n")},
		"a drain from home":         {"", "Q"},
		"a login from the front":    {framed('L', "{}"), ""},
		"two logins":                {"", framed('L', "{}") + framed('L', "{}")},
		"a second beginning":        {framed('H', "{}"), ""},
		"bytes behind the end":      {"F" + framed('D', "aoife"), ""},
		"an unknown frame":          {"Xaoife", ""},
		"a frame over 32 KiB":       {framed('D', strings.Repeat("x", 32<<10+1)), ""},
		"a login note over 1 KiB":   {"", framed('L', strings.Repeat("x", 1<<10+1))},
		"credit over the window":    {string([]byte{'W', 0, 2, 0, 1}), ""},
	} {
		if _, err := session(c[0], c[1]); err == nil {
			t.Errorf("%s was not found", name)
		}
	}
}

// TestSessionIsAccounted holds a session against a journal that agrees with it, and against ones that do not.
func TestSessionIsAccounted(t *testing.T) {
	net := &Net{nodes: map[domicile.Node]*node{"us-east-1": {owner: "us-east"}, "eu-ireland-1": {owner: "eu-ireland"}}}
	records := func(small, stream int64) (out []region.Record) {
		for i, p := range []region.Record{{ID: "p1", Kind: "standing", Bytes: small, Ceiling: 65536}, {ID: "p2", Kind: "stream", Bytes: stream, Ceiling: 1 << 40}} {
			p.Class, p.Party, p.To, p.Seq = domicile.Relay, "region", "us-east", uint64(i)
			p.Type, p.Time = "open", began
			out = append(out, p)
			p.Type = "close"
			out = append(out, p)
		}
		return out
	}
	k, err := session(framed('D', "a NOOP\r\n")+"F", framed('D', "a OK\r\n")+"F")
	if err != nil {
		t.Fatal(err)
	}
	taken := Taken{Calls: []Call{*k}}
	balances, err := net.Account("eu-ireland", records(17, 6), taken)
	if err != nil || len(balances) != 1 || balances[0].Crossed != 23 || balances[0].Written != 23 {
		t.Errorf("%v, %v", balances, err)
	}
	if _, err := net.Account("eu-ireland", records(17, 5), taken); err == nil {
		t.Error("a byte that no permit let out was not found")
	}
	if _, err := net.Account("eu-ireland", nil, taken); err == nil {
		t.Error("a session without a permit was not found")
	}
	if _, err := net.Account("us-east", records(99, 99), taken); err == nil {
		t.Error("the front's side has no permit of its own, and that was not found")
	}
}
