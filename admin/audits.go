package admin

import (
	"context"
	"encoding/json"
	"strconv"

	"domicile"
	"domicile/audit"
	"domicile/region"
)

// TailLog asks for the newest leaves, at most 1000.
type TailLog struct {
	Count int `json:"count"` // 0 = 20
}

// LoggedLeaf is a leaf as it stands in the log.
type LoggedLeaf struct {
	Index uint64          `json:"index"`
	Leaf  json.RawMessage `json:"leaf"`
}

// ProveLeaf asks for a leaf's receipt. Reveal opens its private fields; it needs the role legal.
type ProveLeaf struct {
	Leaf   uint64 `json:"leaf"`
	Reveal bool   `json:"reveal,omitempty"`
}

// Proof is a receipt.
type Proof struct {
	Leaf      uint64   `json:"leaf"`
	Cosigners []string `json:"cosigners"`
	Receipt   []byte   `json:"receipt"`
}

// CatalogView is the catalog in force and the pins that follow from it.
type CatalogView struct {
	Hash    string          `json:"hash"`
	Catalog *region.Catalog `json:"catalog"`
	Pins    audit.Pins      `json:"pins"`
}

// RegionView is a region of the catalog and how many of its nodes gossip calls alive.
type RegionView struct {
	Name    domicile.Region    `json:"name"`
	Country domicile.Country   `json:"country"`
	Entity  domicile.Entity    `json:"entity"`
	Serves  []domicile.Country `json:"serves"`
	Alive   int                `json:"alive"`
	Nodes   int                `json:"nodes"`
}

// NodeView is a node as gossip tells it.
type NodeView struct {
	Name    domicile.Node   `json:"name"`
	Region  domicile.Region `json:"region,omitempty"` // "" for a witness
	Roles   []string        `json:"roles"`
	RPC     string          `json:"rpc"`
	Admin   string          `json:"admin,omitempty"`
	Catalog uint64          `json:"catalog"`
	Alive   bool            `json:"alive"`
}

func (s *Server) auditRoutes() {
	route(s, "audit", "tail", anyone, s.tailLog)
	route(s, "audit", "prove", anyone, s.proveLeaf)
	route(s, "audit", "checkpoint", anyone, s.checkpoint)
	s.handle("audit", "copy", anyone, s.copyLog)
	route(s, "catalog", "show", anyone, func(context.Context, caller, struct{}) (CatalogView, error) {
		c := s.cfg.Catalog()
		return CatalogView{Hash: c.Hash(), Catalog: c, Pins: c.Pins()}, nil
	})
	route(s, "region", "ls", anyone, s.listRegions)
	route(s, "node", "ls", anyone, s.listNodes)
}

func (s *Server) tailLog(_ context.Context, who caller, in TailLog) ([]LoggedLeaf, error) {
	if in.Count == 0 {
		in.Count = 20
	}
	if in.Count < 0 || in.Count > 1000 {
		return nil, domicile.E(who.call, domicile.Invalid, "from 1 to 1000 leaves at once")
	}
	size := s.cfg.Audit.Head().Size
	first := size - min(size, uint64(in.Count))
	out := make([]LoggedLeaf, 0, in.Count)
	err := s.cfg.Audit.Leaves(first, func(i uint64, raw []byte) error {
		if len(out) < in.Count {
			out = append(out, LoggedLeaf{Index: i, Leaf: append(json.RawMessage(nil), raw...)})
		}
		return nil
	})
	return out, err
}

// proveLeaf records who has private fields revealed: they name persons.
func (s *Server) proveLeaf(ctx context.Context, who caller, in ProveLeaf) (Proof, error) {
	if in.Reveal && !who.HasRole("legal") {
		return Proof{}, domicile.Refuse(who.call, domicile.WrongRole, "house/operator-roles", "to reveal the private fields of a leaf needs the role legal")
	}
	if in.Reveal {
		if _, err := s.record(ctx, who, "operator.audit.reveal", "", map[string]string{"leaf": strconv.FormatUint(in.Leaf, 10)}); err != nil {
			return Proof{}, err
		}
	}
	receipt, err := s.cfg.Audit.Receipt(in.Leaf, in.Reveal)
	if err != nil {
		return Proof{}, err
	}
	by, err := s.cfg.Audit.Cosigners(in.Leaf)
	names := make([]string, 0, len(by))
	for name := range by {
		names = append(names, name)
	}
	return Proof{Leaf: in.Leaf, Cosigners: names, Receipt: receipt}, err
}

func (s *Server) checkpoint(context.Context, caller, struct{}) (string, error) {
	raw, err := s.cfg.Audit.Checkpoint()
	return string(raw), err
}

func (s *Server) listRegions(context.Context, caller, struct{}) ([]RegionView, error) {
	members := s.cfg.Network.Members()
	out := []RegionView{}
	for _, r := range s.cfg.Catalog().Regions {
		v := RegionView{Name: r.Name, Country: r.Country, Entity: r.Entity, Serves: r.Serves}
		for _, m := range members {
			if m.Region == r.Name {
				v.Nodes++
				if m.Alive {
					v.Alive++
				}
			}
		}
		out = append(out, v)
	}
	return out, nil
}

func (s *Server) listNodes(context.Context, caller, struct{}) ([]NodeView, error) {
	out := []NodeView{}
	for _, m := range s.cfg.Network.Members() {
		out = append(out, NodeView(m))
	}
	return out, nil
}
