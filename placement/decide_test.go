package placement

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"domicile"
)

const (
	us   = domicile.Region("us-east")
	ie   = domicile.Region("eu-ireland")
	de   = domicile.Region("eu-frankfurt")
	acct = domicile.AccountID("aqqqq")
)

// good is one allowed crossing of every form of the table, by name. The golden table below starts from these.
var good = map[string]Crossing{
	"greeting":    {Class: domicile.ClientSession, Kind: Standing, From: us, Party: ToClient, Ceiling: 1 << 16},
	"session":     {Class: domicile.ClientSession, Kind: Stream, From: ie, Party: ToClient, Account: acct, Home: ie, Ceiling: 1 << 30},
	"tunnel":      {Class: domicile.Relay, Kind: Standing, From: us, Party: ToRegion, To: ie, Ceiling: 1 << 16},
	"relay home":  {Class: domicile.Relay, Kind: Stream, From: us, Party: ToRegion, To: ie, Account: acct, Home: ie, Ceiling: 1 << 40},
	"relay back":  {Class: domicile.Relay, Kind: Stream, From: ie, Party: ToRegion, To: us, Account: acct, Home: ie, Ceiling: 1 << 40},
	"relay out":   {Class: domicile.Relay, Kind: Stream, From: us, Party: ToClient, Account: acct, Home: ie, Ceiling: 1 << 40},
	"delivery":    {Class: domicile.Delivery, Kind: Stream, From: us, Party: ToRegion, To: ie, Account: acct, Home: ie, Ceiling: 64 << 20},
	"answer":      {Class: domicile.Delivery, Kind: Standing, From: ie, Party: ToRegion, To: us, Ceiling: 1 << 10},
	"gossip":      {Class: domicile.Gossip, Kind: Standing, From: us, Party: ToRegion, To: ie, Ceiling: 1 << 16},
	"lookup":      {Class: domicile.Lookup, Kind: Standing, From: us, Party: ToRegion, To: ie, Ceiling: 1 << 16},
	"claim":       {Class: domicile.Claim, Kind: Standing, From: ie, Party: ToRegion, To: us, Ceiling: 1 << 16},
	"catalog":     {Class: domicile.CatalogFetch, Kind: Standing, From: us, Party: ToRegion, To: ie, Ceiling: 1 << 20},
	"checkpoint":  {Class: domicile.Checkpoint, Kind: Standing, From: ie, Party: ToWitness, To: "witness/w-1", Ceiling: 1 << 16},
	"notice":      {Class: domicile.OrderNotice, Kind: Standing, From: us, Party: ToRegion, To: ie, Case: "c1", Ceiling: 1 << 16},
	"paper":       {Class: domicile.OrderNotice, Kind: Sealed, From: us, Party: ToRegion, To: ie, Case: "c1", Ceiling: 1 << 20},
	"disclosure":  {Class: domicile.Disclosure, Kind: Sealed, From: ie, Party: ToAuthority, Account: acct, Home: ie, Case: "c1", Released: true, Ceiling: 1 << 30},
	"part":        {Class: domicile.Move, Kind: Sealed, From: ie, Party: ToRegion, To: us, Account: acct, Home: ie, Case: "aqqqq.1", Approved: true, Ceiling: 4 << 20},
	"step":        {Class: domicile.Move, Kind: Standing, From: ie, Party: ToRegion, To: us, Ceiling: 1 << 16},
	"operator":    {Class: domicile.Operator, Kind: Standing, From: ie, Party: ToOperator, To: ie, Ceiling: 1 << 20},
	"export":      {Class: domicile.Operator, Kind: Stream, From: ie, Party: ToOperator, To: ie, Account: acct, Home: ie, Ceiling: 1 << 30},
	"health":      {Class: domicile.Telemetry, Kind: Standing, From: ie, Party: ToMonitor, Ceiling: 1 << 16},
	"log to tail": {Class: domicile.Operator, Kind: Stream, From: ie, Party: ToOperator, To: ie, Ceiling: 1 << 30},
}

const (
	ok         = domicile.Reason("")
	no         = domicile.EgressNotAllowed
	wrong      = domicile.WrongRegion
	unknown    = domicile.EgressClassUnknown
	unreleased = domicile.QuorumNotReached
	unapproved = domicile.MoveNotApproved
)

// TestDecide is the golden table: what is allowed, and every misuse that somebody thought of.
func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name   string
		from   string
		change func(*Crossing)
		want   domicile.Reason
	}{
		{"a stranger is greeted anywhere", "greeting", nil, ok},
		{"a greeting names an account", "greeting", func(c *Crossing) { c.Account, c.Home = acct, us }, no},
		{"a greeting names a home", "greeting", func(c *Crossing) { c.Home = us }, no},
		{"a greeting as large as a mailbox", "greeting", func(c *Crossing) { c.Ceiling = 1 << 30 }, no},
		{"a greeting to another region", "greeting", func(c *Crossing) { c.Party, c.To = ToRegion, ie }, no},
		{"mail is read at home", "session", nil, ok},
		{"mail is read in another region", "session", func(c *Crossing) { c.From = us }, no},
		{"mail is read under a standing permit", "session", func(c *Crossing) { c.Kind = Standing }, no},
		{"mail is read under a sealed permit", "session", func(c *Crossing) { c.Kind = Sealed }, no},
		{"mail is read by nobody in particular", "session", func(c *Crossing) { c.Account, c.Home = "", "" }, no},
		{"mail of an unknown home", "session", func(c *Crossing) { c.Home = "" }, no},
		{"a session that ends in a region", "session", func(c *Crossing) { c.Party, c.To = ToRegion, us }, no},
		{"a session for an operator", "session", func(c *Crossing) { c.Party, c.To = ToOperator, ie }, no},
		{"a session for an authority", "session", func(c *Crossing) { c.Party = ToAuthority }, no},
		{"a client that claims to be of a region", "session", func(c *Crossing) { c.To = us }, no},
		{"a session with a case", "session", func(c *Crossing) { c.Case = "c1" }, no},
		{"a session that was released", "session", func(c *Crossing) { c.Released = true }, no},
		{"a session is handed over", "tunnel", nil, ok},
		{"a session is handed over within its region", "tunnel", func(c *Crossing) { c.To = us }, ok},
		{"a session is handed to a witness", "tunnel", func(c *Crossing) { c.Party, c.To = ToWitness, "witness/w-1" }, no},
		{"mail before the login", "tunnel", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"a hand-over as large as mail", "tunnel", func(c *Crossing) { c.Ceiling = 1 << 20 }, no},
		{"a client's words go to its home", "relay home", nil, ok},
		{"a client's words go to a third region", "relay home", func(c *Crossing) { c.To = de }, no},
		{"a client's words go on from a third region", "relay home", func(c *Crossing) { c.From, c.To = de, us }, no},
		{"a client's words of no account", "relay home", func(c *Crossing) { c.Account, c.Home = "", "" }, no},
		{"a front of the home region hands over", "relay home", func(c *Crossing) { c.From = ie }, ok},
		{"mail goes to the front that its owner reads at", "relay back", nil, ok},
		{"mail goes to that front from another region", "relay back", func(c *Crossing) { c.From = de }, no},
		{"a session ends at a witness", "relay back", func(c *Crossing) { c.Party, c.To = ToWitness, "witness/w-1" }, no},
		{"a session ends at an operator", "relay back", func(c *Crossing) { c.Party, c.To = ToOperator, ie }, no},
		{"a session for an authority by relay", "relay back", func(c *Crossing) { c.Party, c.To = ToAuthority, "" }, no},
		{"mail passes on to its owner", "relay out", nil, ok},
		{"mail is relayed at home", "relay out", func(c *Crossing) { c.From = ie }, no},
		{"mail of no account passes on", "relay out", func(c *Crossing) { c.Account, c.Home = "", "" }, no},
		{"mail passes on under a standing permit", "relay out", func(c *Crossing) { c.Kind = Standing }, no},
		{"mail passes on sealed", "relay out", func(c *Crossing) { c.Kind = Sealed }, no},
		{"a relay with a case", "relay out", func(c *Crossing) { c.Case = "c1" }, no},
		{"more than a session can be", "relay out", func(c *Crossing) { c.Ceiling = 1<<40 + 1 }, no},
		{"mail goes home", "delivery", nil, ok},
		{"mail goes home from a third region", "delivery", func(c *Crossing) { c.From = de }, ok},
		{"mail stays in its region", "delivery", func(c *Crossing) { c.From = ie }, ok},
		{"mail goes away from home", "delivery", func(c *Crossing) { c.From, c.To = ie, us }, no},
		{"mail goes to a third region", "delivery", func(c *Crossing) { c.To = de }, no},
		{"mail goes to a client", "delivery", func(c *Crossing) { c.Party, c.To = ToClient, "" }, no},
		{"mail goes to a witness", "delivery", func(c *Crossing) { c.Party, c.To = ToWitness, "witness/w-1" }, no},
		{"mail goes to a witness named as a region", "delivery", func(c *Crossing) { c.To = "witness/w-1"; c.Home = "witness/w-1" }, no},
		{"mail goes to an operator at home", "delivery", func(c *Crossing) { c.Party = ToOperator }, no},
		{"mail for no account", "delivery", func(c *Crossing) { c.Account, c.Home = "", "" }, no},
		{"mail for an account without a home", "delivery", func(c *Crossing) { c.Home = "" }, no},
		{"mail for a home without an account", "delivery", func(c *Crossing) { c.Account = "" }, no},
		{"mail under a sealed permit", "delivery", func(c *Crossing) { c.Kind = Sealed }, no},
		{"mail under a standing permit", "delivery", func(c *Crossing) { c.Kind = Standing }, no},
		{"mail larger than any message", "delivery", func(c *Crossing) { c.Ceiling = 1<<30 + 1 }, no},
		{"mail as large as can be", "delivery", func(c *Crossing) { c.Ceiling = 1 << 30 }, ok},
		{"mail named by its address", "delivery", func(c *Crossing) { c.Account = "anna@example.com" }, no},
		{"a delivery is answered", "answer", nil, ok},
		{"an answer that carries mail", "answer", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"an answer as large as mail", "answer", func(c *Crossing) { c.Ceiling = 1 << 20 }, no},
		{"an answer that streams", "answer", func(c *Crossing) { c.Kind = Stream }, no},
		{"nodes gossip", "gossip", nil, ok},
		{"nodes gossip inside their region", "gossip", func(c *Crossing) { c.To = us }, ok},
		{"a witness hears gossip", "gossip", func(c *Crossing) { c.Party, c.To = ToWitness, "witness/w-1" }, ok},
		{"gossip about an account", "gossip", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"gossip as a stream", "gossip", func(c *Crossing) { c.Kind = Stream }, no},
		{"gossip to a client", "gossip", func(c *Crossing) { c.Party, c.To = ToClient, "" }, no},
		{"gossip without an end", "gossip", func(c *Crossing) { c.Ceiling = 1 << 40 }, no},
		{"a name is looked up", "lookup", nil, ok},
		{"a name is looked up at a witness", "lookup", func(c *Crossing) { c.Party, c.To = ToWitness, "witness/w-1" }, no},
		{"a lookup names an account", "lookup", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"a lookup that could carry a message", "lookup", func(c *Crossing) { c.Ceiling = 1 << 20 }, no},
		{"a name is claimed", "claim", nil, ok},
		{"a claim names an account in the permit", "claim", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"the catalog is fetched", "catalog", nil, ok},
		{"the catalog under a stream", "catalog", func(c *Crossing) { c.Kind = Stream }, no},
		{"a checkpoint is cosigned by a witness", "checkpoint", nil, ok},
		{"a checkpoint is cosigned by some witness", "checkpoint", func(c *Crossing) { c.To = "" }, ok},
		{"a checkpoint is cosigned by a region", "checkpoint", func(c *Crossing) { c.Party, c.To = ToRegion, us }, ok},
		{"a region named as a witness", "checkpoint", func(c *Crossing) { c.To = us }, no},
		{"a checkpoint of an account", "checkpoint", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"an order is told", "notice", nil, ok},
		{"an order without a case", "notice", func(c *Crossing) { c.Case = "" }, no},
		{"an order with mail", "notice", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"an order to an authority", "notice", func(c *Crossing) { c.Party, c.To = ToAuthority, "" }, no},
		{"an order as a stream", "notice", func(c *Crossing) { c.Kind = Stream }, no},
		{"an order's case is an address", "notice", func(c *Crossing) { c.Case = "anna@example.com" }, no},
		{"an order's paper is sent sealed", "paper", nil, ok},
		{"an order's paper with mail of its home", "paper", func(c *Crossing) { c.Account, c.Home = acct, us }, no},
		{"a released production goes to its authority", "disclosure", nil, ok},
		{"a production before its release", "disclosure", func(c *Crossing) { c.Released = false }, unreleased},
		{"a production without a case", "disclosure", func(c *Crossing) { c.Case = "" }, no},
		{"a production from headquarters", "disclosure", func(c *Crossing) { c.From = us }, no},
		{"a production of no account", "disclosure", func(c *Crossing) { c.Account, c.Home = "", "" }, no},
		{"a production as a stream", "disclosure", func(c *Crossing) { c.Kind = Stream }, no},
		{"a production as a standing flow", "disclosure", func(c *Crossing) { c.Kind = Standing }, no},
		{"a production to headquarters", "disclosure", func(c *Crossing) { c.Party, c.To = ToRegion, us }, no},
		{"a production to an operator", "disclosure", func(c *Crossing) { c.Party, c.To = ToOperator, ie }, no},
		{"a production to an authority in a region", "disclosure", func(c *Crossing) { c.To = us }, no},
		{"an account moves", "part", nil, ok},
		{"an account moves without approval", "part", func(c *Crossing) { c.Approved = false }, unapproved},
		{"an account moves without its change", "part", func(c *Crossing) { c.Case = "" }, no},
		{"an account is fetched by its next home", "part", func(c *Crossing) { c.From = us }, no},
		{"an account moves out of a third region", "part", func(c *Crossing) { c.From = de }, no},
		{"a part of no account", "part", func(c *Crossing) { c.Account, c.Home = "", "" }, no},
		{"a move as a stream", "part", func(c *Crossing) { c.Kind = Stream }, no},
		{"a move as a standing flow", "part", func(c *Crossing) { c.Kind = Standing }, no},
		{"a whole account as one part", "part", func(c *Crossing) { c.Ceiling = 1 << 30 }, no},
		{"an account moves to an operator", "part", func(c *Crossing) { c.Party, c.To = ToOperator, ie }, no},
		{"an account moves to an authority", "part", func(c *Crossing) { c.Party, c.To = ToAuthority, "" }, no},
		{"a move that was released", "part", func(c *Crossing) { c.Released = true }, no},
		{"a step of a move", "step", nil, ok},
		{"a step that names an account", "step", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"a step as large as mail", "step", func(c *Crossing) { c.Ceiling = 1 << 20 }, no},
		{"a delivery that was approved", "delivery", func(c *Crossing) { c.Approved = true }, no},
		{"an operator is answered", "operator", nil, ok},
		{"a foreign operator is answered", "operator", func(c *Crossing) { c.To = us }, wrong},
		{"an answer that names an account's mail", "operator", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"an operator who is a client", "operator", func(c *Crossing) { c.Party, c.To = ToClient, "" }, no},
		{"an operator of nowhere", "operator", func(c *Crossing) { c.To = "" }, no},
		{"the owner's mail is exported at home", "export", nil, ok},
		{"mail is exported to headquarters' operator", "export", func(c *Crossing) { c.To = us }, wrong},
		{"headquarters exports mail of Ireland", "export", func(c *Crossing) { c.From, c.To = us, us }, no},
		{"an export under a standing permit", "export", func(c *Crossing) { c.Kind = Standing }, no},
		{"an operator reads the log", "log to tail", nil, ok},
		{"a foreign operator reads the log", "log to tail", func(c *Crossing) { c.To = us }, wrong},
		{"a node tells its health", "health", nil, ok},
		{"health that names an account", "health", func(c *Crossing) { c.Account, c.Home = acct, ie }, no},
		{"health as large as a mailbox", "health", func(c *Crossing) { c.Ceiling = 1 << 30 }, no},
		{"health as a stream", "health", func(c *Crossing) { c.Kind = Stream }, no},
		{"health to a client", "health", func(c *Crossing) { c.Party = ToClient }, no},
		{"health to a region", "health", func(c *Crossing) { c.Party, c.To = ToRegion, us }, no},
		{"a monitor that claims to be of a region", "health", func(c *Crossing) { c.To = us }, no},
		{"a monitor reads mail", "session", func(c *Crossing) { c.Party = ToMonitor }, no},
		{"a monitor asks as an operator", "operator", func(c *Crossing) { c.Party, c.To = ToMonitor, "" }, no},
		{"a class nobody decided about", "delivery", func(c *Crossing) { c.Class = "pigeon_post" }, unknown},
		{"no class", "delivery", func(c *Crossing) { c.Class = "" }, unknown},
		{"a class in other letters", "delivery", func(c *Crossing) { c.Class = "Delivery" }, unknown},
		{"no kind", "delivery", func(c *Crossing) { c.Kind = 0 }, no},
		{"a kind of the future", "delivery", func(c *Crossing) { c.Kind = 9 }, no},
		{"a party of the future", "delivery", func(c *Crossing) { c.Party = "satellite" }, no},
		{"no ceiling", "delivery", func(c *Crossing) { c.Ceiling = 0 }, no},
		{"a ceiling below zero", "delivery", func(c *Crossing) { c.Ceiling = -1 }, no},
		{"from nowhere", "delivery", func(c *Crossing) { c.From = "" }, no},
		{"from what is no region", "delivery", func(c *Crossing) { c.From = "US East" }, no},
		{"to what is no region", "delivery", func(c *Crossing) { c.To, c.Home = "*", "*" }, no},
	} {
		crossing, known := good[c.from]
		if !known {
			t.Fatalf("no crossing named %q", c.from)
		}
		if c.change != nil {
			c.change(&crossing)
		}
		d := Decide(crossing)
		if d.Reason != c.want || d.Allow != (c.want == ok) {
			t.Errorf("%s: allow %v, reason %q; want %q", c.name, d.Allow, d.Reason, c.want)
		}
		if d.Rule == "" {
			t.Errorf("%s: no rule", c.name)
		}
	}
	if d := Decide(Crossing{}); d.Allow || d.Reason != unknown {
		t.Errorf("the zero crossing: %+v", d)
	}
}

// Every form of the table is exercised, and each class that package domicile declares has its row.
func TestRows(t *testing.T) {
	used := map[domicile.EgressClass]map[PermitKind]bool{}
	for name, c := range good {
		if d := Decide(c); !d.Allow {
			t.Errorf("%s: %+v", name, d)
		}
		if used[c.Class] == nil {
			used[c.Class] = map[PermitKind]bool{}
		}
		used[c.Class][c.Kind] = true
	}
	for _, r := range Rows() {
		type shape struct {
			kind  PermitKind
			party Party
		}
		shapes := map[shape]bool{}
		for _, f := range r.Forms {
			if !used[r.Class][f.Kind] {
				t.Errorf("%s has a form %s that no test uses", r.Class, f.Kind)
			}
			for _, p := range f.Parties {
				if shapes[shape{f.Kind, p}] {
					t.Errorf("%s has two forms %s to a %s: only the first would count", r.Class, f.Kind, p)
				}
				shapes[shape{f.Kind, p}] = true
			}
			if f.Ceiling <= 0 || f.Ceiling != Ceiling(r.Class, f.Kind) || len(f.Parties) == 0 || f.Mail == "" {
				t.Errorf("%s, %s: %+v", r.Class, f.Kind, f)
			}
			if f.Release && (f.Kind != Sealed || !f.Case || !r.Leaf) {
				t.Errorf("%s releases without seal, case or leaf", r.Class)
			}
		}
	}
	source, err := os.ReadFile("../domicile.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`EgressClass += "([a-z_]+)"`).FindAllSubmatch(source, -1)
	for _, m := range declared {
		if rowOf(domicile.EgressClass(m[1])) == nil {
			t.Errorf("%s has no row", m[1])
		}
	}
	if len(declared) != len(rows) {
		t.Errorf("%d classes are declared, the table has %d", len(declared), len(rows))
	}
	Rows()[0].Forms[0].Parties[0] = ToAuthority
	if Rows()[0].Forms[0].Parties[0] != ToClient {
		t.Error("a caller can change the table")
	}
	if Ceiling("pigeon_post", Stream) != 0 || Ceiling(domicile.Delivery, Sealed) != 0 {
		t.Error("a ceiling for what has no form")
	}
}

// Take any one thing away from what is allowed, and it is no longer allowed.
func TestDecideNeedsEveryField(t *testing.T) {
	blanks := map[string]func(*Crossing) bool{ // false = was blank already
		"class":    func(c *Crossing) bool { had := c.Class != ""; c.Class = ""; return had },
		"kind":     func(c *Crossing) bool { had := c.Kind != 0; c.Kind = 0; return had },
		"from":     func(c *Crossing) bool { had := c.From != ""; c.From = ""; return had },
		"party":    func(c *Crossing) bool { had := c.Party != ""; c.Party = ""; return had },
		"to":       func(c *Crossing) bool { had := c.To != "" && c.Party != ToWitness; c.To = ""; return had },
		"account":  func(c *Crossing) bool { had := c.Account != ""; c.Account = ""; return had },
		"home":     func(c *Crossing) bool { had := c.Home != ""; c.Home = ""; return had },
		"ceiling":  func(c *Crossing) bool { had := c.Ceiling != 0; c.Ceiling = 0; return had },
		"case":     func(c *Crossing) bool { had := c.Case != ""; c.Case = ""; return had },
		"released": func(c *Crossing) bool { had := c.Released; c.Released = false; return had },
		"approved": func(c *Crossing) bool { had := c.Approved; c.Approved = false; return had },
	}
	for name, c := range good {
		for field, blank := range blanks {
			x := c
			if blank(&x) && Decide(x).Allow {
				t.Errorf("%s is allowed without its %s", name, field)
			}
		}
	}
}

// Whatever is asked: content of an account leaves its home only to its own client, to an operator of its home, or as
// a released disclosure; and it enters no region but its home, unless its owner reads there (class relay) or it is the next home
// in an approved move.
func TestDecideKeepsMailHome(t *testing.T) {
	allowed := 0
	rapid.Check(t, func(t *rapid.T) {
		region := rapid.SampledFrom([]domicile.Region{"", us, ie, de, "witness/w-1", "US", "*"})
		c := Crossing{
			Class: rapid.SampledFrom([]domicile.EgressClass{"", "pigeon_post", domicile.ClientSession, domicile.Relay, domicile.Delivery, domicile.Gossip, domicile.Lookup, domicile.Claim,
				domicile.CatalogFetch, domicile.Checkpoint, domicile.OrderNotice, domicile.Disclosure, domicile.Move, domicile.Operator, domicile.Telemetry}).Draw(t, "class"),
			Kind:     PermitKind(rapid.IntRange(0, 4).Draw(t, "kind")),
			From:     region.Draw(t, "from"),
			Party:    rapid.SampledFrom([]Party{"", ToRegion, ToClient, ToOperator, ToAuthority, ToWitness, ToMonitor, "moon"}).Draw(t, "party"),
			To:       region.Draw(t, "to"),
			Account:  rapid.SampledFrom([]domicile.AccountID{"", acct, "anna@example.com"}).Draw(t, "account"),
			Home:     region.Draw(t, "home"),
			Ceiling:  rapid.SampledFrom([]int64{-1, 0, 1, 1 << 16, 1 << 30, 1 << 50}).Draw(t, "ceiling"),
			Case:     rapid.SampledFrom([]string{"", "c1"}).Draw(t, "case"),
			Released: rapid.Bool().Draw(t, "released"),
			Approved: rapid.Bool().Draw(t, "approved"),
		}
		// Most of what chance makes is refused at the first look: so take up to two fields of it into what is allowed.
		if names := slices.Sorted(maps.Keys(good)); rapid.IntRange(0, 3).Draw(t, "plausible") > 0 {
			base := good[rapid.SampledFrom(names).Draw(t, "base")]
			for range rapid.IntRange(0, 2).Draw(t, "fields") {
				mix(&base, c, rapid.IntRange(0, 10).Draw(t, "field"))
			}
			c = base
		}
		d := Decide(c)
		if d != Decide(c) {
			t.Fatal("not pure")
		}
		if d.Allow == (d.Reason != "") || d.Rule == "" {
			t.Fatalf("%+v: an answer without a reason", d)
		}
		if !d.Allow {
			return
		}
		allowed++
		if c.Account == "" {
			if c.Home != "" {
				t.Fatal("a home without an account")
			}
			return
		}
		released := c.Class == domicile.Disclosure && c.Kind == Sealed && c.Party == ToAuthority && c.Released && c.Case != ""
		switch {
		case c.Account == "anna@example.com":
			t.Fatal("an address in a permit")
		case c.Kind == Standing:
			t.Fatal("mail under a standing permit")
		case c.Party == ToWitness:
			t.Fatal("mail to a witness")
		case c.Party == ToAuthority && !released:
			t.Fatal("a disclosure that was not released")
		case c.Class == domicile.Relay:
			if c.Party != ToRegion && c.Party != ToClient || c.Party == ToRegion && c.To != c.Home && c.From != c.Home {
				t.Fatalf("a session that is neither on its way home, nor back, nor at its client: %+v", c)
			}
		case c.Class == domicile.Move && (c.Kind != Sealed || c.From != c.Home || !c.Approved || c.Case == ""):
			t.Fatalf("an account moves without approval: %+v", c)
		case c.Class != domicile.Move && (c.Party == ToRegion || c.Party == ToOperator) && c.To != c.Home:
			t.Fatalf("mail into another region: %+v", c)
		case c.Party != ToRegion && c.From != c.Home:
			t.Fatalf("mail out of a region that it does not belong to: %+v", c)
		}
	})
	if allowed == 0 {
		t.Error("nothing was allowed: the property was not tried")
	}
}

func mix(c *Crossing, from Crossing, field int) {
	switch field {
	case 0:
		c.Class = from.Class
	case 1:
		c.Kind = from.Kind
	case 2:
		c.From = from.From
	case 3:
		c.Party = from.Party
	case 4:
		c.To = from.To
	case 5:
		c.Account = from.Account
	case 6:
		c.Home = from.Home
	case 7:
		c.Ceiling = from.Ceiling
	case 8:
		c.Case = from.Case
	case 9:
		c.Released = from.Released
	case 10:
		c.Approved = from.Approved
	}
}
