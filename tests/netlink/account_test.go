package netlink

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/region"
)

// began is when the synthetic calls cross.
var began = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// frames are a request as FORMATS has it.
func frames(header, body string) []byte {
	out := binary.BigEndian.AppendUint32([]byte{'H'}, uint32(len(header)))
	out = append(out, header...)
	if body != "" {
		out = binary.BigEndian.AppendUint32(append(out, 'D'), uint32(len(body)))
		out = append(out, body...)
	}
	sum := sha256.Sum256([]byte(body))
	return append(binary.BigEndian.AppendUint64(append(out, 'E'), uint64(len(body))), sum[:]...)
}

func crossed(t *testing.T, method, header, body, answer string) Call {
	t.Helper()
	k := Call{Link: Link{"us-east-1", "eu-ireland-1"}, Method: method, At: began, Answered: began, Status: "200", Answer: []byte(answer),
		Request: frames(header, body)}
	if err := k.open(); err != nil || !k.Ended {
		t.Fatal(err)
	}
	return k
}

// synthetic is a region's journal and what crossed under it, which agree.
func synthetic(t *testing.T) ([]region.Record, Taken) {
	lookup, store := crossed(t, "registrar/lookup", `{"name":"ab"}`, "", `{"reply":{}}`), crossed(t, "delivery/store", `{"v":1}`, "Subject: x\r\n", `{"reply":{}}`)
	sum := sha256.Sum256(store.Body)
	small, mail := region.Record{ID: "p1", Class: domicile.Lookup, Kind: "standing", Party: "region", To: "eu-ireland", Ceiling: 65536},
		region.Record{ID: "p2", Class: domicile.Delivery, Kind: "stream", Party: "region", To: "eu-ireland", Ceiling: 70000}
	gossip := region.Record{ID: "p3", Class: domicile.Gossip, Kind: "standing", Party: "region", To: "us-east", Ceiling: 4 << 20}
	var out []region.Record
	for i, r := range []region.Record{small, mail, gossip} {
		r.Type, r.Seq, r.Time = "open", uint64(i+1), began.Add(-time.Second)
		out = append(out, r)
	}
	small.Bytes, mail.Bytes, mail.Digest, gossip.Bytes = int64(len(lookup.Request)), int64(len(store.Body)), hex.EncodeToString(sum[:]), 500
	for i, r := range []region.Record{small, mail, gossip} {
		r.Type, r.Seq, r.Time = "close", uint64(i+4), began.Add(time.Second)
		out = append(out, r)
	}
	return out, Taken{Calls: []Call{lookup, store}, Raw: map[domicile.Node]int64{"us-east-1": 500}, Began: map[domicile.Node]time.Time{"us-east-1": began}}
}

// TestAccountCanFail alters, one thing at a time, a journal and what crossed under it: each time something must be found. The
// unaltered ones agree.
func TestAccountCanFail(t *testing.T) {
	net := &Net{nodes: map[domicile.Node]*node{"us-east-1": {owner: "us-east"}, "eu-ireland-1": {owner: "eu-ireland"}}}
	for _, c := range []struct {
		name, finding string
		alter         func([]region.Record, *Taken) []region.Record
	}{
		{"nothing", "", func(r []region.Record, _ *Taken) []region.Record { return r }},
		{"a stray call", "more crossed", func(r []region.Record, k *Taken) []region.Record { k.Calls = append(k.Calls, k.Calls[0]); return r }},
		{"a message sent twice", "no permit is of these bytes", func(r []region.Record, k *Taken) []region.Record { k.Calls = append(k.Calls, k.Calls[1]); return r }},
		{"another message", "no permit is of these bytes", func(r []region.Record, k *Taken) []region.Record {
			k.Calls[1] = crossed(t, "delivery/store", `{"v":1}`, "Subject: y\r\n", "")
			return r
		}},
		{"a longer header than the ceiling", "no permit is of these bytes", func(r []region.Record, k *Taken) []region.Record {
			k.Calls[1] = crossed(t, "delivery/store", strings.Repeat("x", 65000), "Subject: x\r\n", "")
			r[1].Ceiling, r[4].Ceiling = 60000, 60000
			return r
		}},
		{"toward another region", "no permit is of these bytes", func(r []region.Record, k *Taken) []region.Record { r[4].To = "ap-japan"; return r }},
		{"a permit that came after", "no permit is of these bytes", func(r []region.Record, k *Taken) []region.Record {
			r[1].Time = began.Add(time.Millisecond)
			return r
		}},
		{"a standing permit that came after", "under no permit", func(r []region.Record, k *Taken) []region.Record {
			r[0].Time = began.Add(time.Millisecond)
			return r
		}},
		{"no permit", "under no permit", func(r []region.Record, k *Taken) []region.Record { return append(r[1:3], r[4:]...) }},
		{"a longer question", "more crossed", func(r []region.Record, k *Taken) []region.Record {
			k.Calls[0].Request = append(k.Calls[0].Request, 'K')
			return r
		}},
		{"a question over its ceiling", "under no permit", func(r []region.Record, k *Taken) []region.Record {
			r[0].Ceiling, r[3].Ceiling = 50, 50
			return r
		}},
		{"an answer without a permit", "under no permit", func(r []region.Record, k *Taken) []region.Record {
			k.Calls[0].Link = k.Calls[0].back() // Ireland asks, us-east answers
			r[0].To, r[3].To = "ap-japan", "ap-japan"
			return r
		}},
		{"a case that no permit names", "under no permit", func(r []region.Record, k *Taken) []region.Record { k.Calls[0].Case = "c1"; return r }},
		{"an unknown call", "whose class is not known", func(r []region.Record, k *Taken) []region.Record { k.Calls[0].Method = "mail/read"; return r }},
		{"more gossip", "more crossed", func(r []region.Record, k *Taken) []region.Record { k.Raw["us-east-1"]++; return r }},
		{"early gossip", "gossip began", func(r []region.Record, k *Taken) []region.Record {
			k.Began["us-east-1"] = began.Add(-time.Minute)
			return r
		}},
		{"an end without a beginning", "never opened", func(r []region.Record, k *Taken) []region.Record {
			return append(r, region.Record{Type: "close", ID: "p9"})
		}},
	} {
		records, taken := synthetic(t)
		records = c.alter(records, &taken)
		_, err := net.Account("us-east", records, taken)
		if c.finding == "" && err != nil || c.finding != "" && (err == nil || !strings.Contains(err.Error(), c.finding)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestCutStream has a stream that was cut account for no more than its permit let out.
func TestCutStream(t *testing.T) {
	net := &Net{nodes: map[domicile.Node]*node{"us-east-1": {owner: "us-east"}, "eu-ireland-1": {owner: "eu-ireland"}}}
	records, taken := synthetic(t)
	cut := &taken.Calls[1]
	cut.Request, cut.Ended, cut.Body = cut.Request[:20], false, cut.Body[:4]
	if _, err := net.Account("us-east", records, taken); err != nil {
		t.Error(err)
	}
	records[4].Bytes = 3
	if _, err := net.Account("us-east", records, taken); err == nil {
		t.Error("four bytes crossed under a permit that let three out")
	}
}
