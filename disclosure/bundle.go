package disclosure

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"domicile"
)

// house is the name of the bundle that is always loaded.
const house = "house"

// BundleInfo describes one bundle of policies.
type BundleInfo struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Hash    string `json:"hash"` // hex SHA-256 of its text
	InForce bool   `json:"in_force"`
}

// policy is one Cedar policy with what its annotations say.
type policy struct {
	id       string // "us-2018/comity"
	bundle   string
	from, to time.Time // to zero: no end
	code     domicile.Reason
	path     string // the way that would be open, such as "mlat"
	says     string // why, for people
	needs    string // of a permit on execute: what was missing if nothing applied
	awaiting string // of a permit on refer
	refers   bool   // of a forbid on execute: the answer is refer, not refuse
	forbids  bool
	cedar    *cedar.Policy
}

// bundle is one file of policies.
type bundle struct {
	BundleInfo
	policies []policy
}

// on reports whether a policy is in force on a date; a zero date asks for none.
func (p policy) on(t time.Time) bool {
	return t.IsZero() || !t.Before(p.from) && (p.to.IsZero() || t.Before(p.to))
}

// loadBundles reads the embedded policies, by name.
func loadBundles() (map[string]*bundle, error) {
	const op = "load policy bundles"
	files, err := embedded.ReadDir("bundles")
	if err != nil {
		return nil, domicile.W(op, err)
	}
	out := map[string]*bundle{}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".cedar")
		if !ok {
			continue
		}
		text, err := embedded.ReadFile("bundles/" + f.Name())
		if err != nil {
			return nil, domicile.W(op, err)
		}
		b, err := parseBundle(name, text)
		if err != nil {
			return nil, domicile.W(op, err)
		}
		out[name] = b
	}
	return out, nil
}

func parseBundle(name string, text []byte) (*bundle, error) {
	list, err := cedar.NewPolicyListFromBytes(name+".cedar", text)
	if err != nil {
		return nil, domicile.E("bundle "+name, domicile.Invalid, err.Error())
	}
	b := &bundle{BundleInfo: BundleInfo{Name: name, Hash: digestOf(text)}}
	for _, c := range list {
		p, err := readPolicy(name, c)
		if err != nil {
			return nil, domicile.E("bundle "+name, domicile.Invalid, err.Error())
		}
		if slices.ContainsFunc(b.policies, func(q policy) bool { return q.id == p.id }) {
			return nil, domicile.E("bundle "+name, domicile.Invalid, p.id+" occurs twice")
		}
		if t := c.Annotations()["title"]; t != "" {
			b.Title = string(t)
		}
		b.policies = append(b.policies, p)
	}
	return b, nil
}

// readPolicy checks the annotations. A policy without a regime, an article, dates, an author or a reviewer is not law.
func readPolicy(name string, c *cedar.Policy) (policy, error) {
	a := c.Annotations()
	p := policy{id: string(a["id"]), bundle: name, path: string(a["path"]), says: string(a["says"]), needs: string(a["needs"]),
		awaiting: string(a["awaiting"]), refers: a["answer"] == "refer", code: domicile.Reason(a["code"]), forbids: c.Effect() == cedar.Forbid, cedar: c}
	if !strings.HasPrefix(p.id, name+"/") {
		return p, fmt.Errorf("the id %q does not begin with %s/", p.id, name)
	}
	for _, must := range []cedar.String{a["regime"], a["article"], a["author"], a["reviewer"]} {
		if must == "" {
			return p, fmt.Errorf("%s lacks @regime, @article, @author or @reviewer", p.id)
		}
	}
	if name == house && !p.forbids {
		return p, fmt.Errorf("%s permits: house rules only forbid", p.id)
	}
	if p.forbids && p.code == "" || p.code != "" && !slices.Contains(domicile.Reasons, p.code) {
		return p, fmt.Errorf("%s has no @code of the closed list", p.id)
	}
	var err error
	if p.from, err = time.Parse(time.DateOnly, string(a["valid_from"])); err != nil {
		return p, fmt.Errorf("%s: @valid_from is not a date", p.id)
	}
	to, ok := a["valid_to"]
	if !ok {
		return p, fmt.Errorf("%s lacks @valid_to", p.id)
	}
	if to != "" {
		if p.to, err = time.Parse(time.DateOnly, string(to)); err != nil {
			return p, fmt.Errorf("%s: @valid_to is not a date", p.id)
		}
	}
	return p, nil
}

// policySet is the policies of some bundles and the house rules. Immutable.
type policySet struct {
	names    []string // sorted, house included
	hash     string   // hex SHA-256 over "name hash\n" of each
	policies []policy // house first, then by bundle, in the order of the files
}

// choose makes a set. An unknown name is Invalid.
func choose(all map[string]*bundle, names []string) (*policySet, error) {
	names = sorted(append(slices.Clone(names), house))
	s := &policySet{names: names}
	var hashes strings.Builder
	for _, n := range names {
		b := all[n]
		if b == nil {
			return nil, domicile.E("choose policy bundles", domicile.Invalid, fmt.Sprintf("there is no bundle %.64q", n))
		}
		fmt.Fprintf(&hashes, "%s %s\n", n, b.Hash)
		if n == house {
			s.policies = append(slices.Clone(b.policies), s.policies...)
		} else {
			s.policies = append(s.policies, b.policies...)
		}
	}
	s.hash = digestOf([]byte(hashes.String()))
	return s, nil
}

// ended names a bundle of the set none of whose policies is still in force.
func (s *policySet) ended(now time.Time) string {
	for _, n := range s.names {
		alive := slices.ContainsFunc(s.policies, func(p policy) bool { return p.bundle == n && (p.to.IsZero() || now.Before(p.to)) })
		if !alive {
			return n
		}
	}
	return ""
}
