package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"domicile"
)

// Lab is lab.json: what is where. Paths are relative to the folder that it is in; Path makes them absolute.
type Lab struct {
	Domain    string            `json:"domain"`
	Nodes     []Node            `json:"nodes"`
	Operators []Operator        `json:"operators"`
	Witness   Witness           `json:"witness"`
	Pins      string            `json:"pins"`
	CA        map[string]string `json:"ca"` // root certificate of each region

	Dir   string   `json:"-"` // the folder, absolute
	Moved []string `json:"-"` // by Init only: ports that were busy, each with what took another one
}

// Node is one node. An address that it does not serve is absent.
type Node struct {
	Name        domicile.Node   `json:"name"`
	Region      domicile.Region `json:"region"`
	Config      string          `json:"config"`
	Data        string          `json:"data"`
	IMAP        string          `json:"imap,omitempty"`
	IMAPS       string          `json:"imaps,omitempty"`
	SMTP        string          `json:"smtp,omitempty"`
	LMTP        string          `json:"lmtp,omitempty"`
	Submission  string          `json:"submission,omitempty"`
	Submissions string          `json:"submissions,omitempty"`
	Admin       string          `json:"admin,omitempty"`
	HTTP        string          `json:"http,omitempty"` // health and metrics
}

// Operator is one person's identity file.
type Operator struct {
	Name     string          `json:"name"`
	Region   domicile.Region `json:"region"`
	Roles    []string        `json:"roles"`
	Identity string          `json:"identity"`
}

// Witness is the cosigner that is no region.
type Witness struct {
	Name   string `json:"name"`
	Config string `json:"config"`
	HTTP   string `json:"http,omitempty"`
}

// Names of files in a lab.
const (
	labFile  = "lab.json"
	madeFile = ".domicile-lab"
)

// Load reads lab.json in dir.
func Load(dir string) (*Lab, error) {
	const op = "load the lab"
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, labFile))
	if os.IsNotExist(err) {
		return nil, domicile.E(op, domicile.NotExist, "there is no lab.json in "+dir+"; make a lab with: mailctl lab init --dir "+dir)
	} else if err != nil {
		return nil, domicile.W(op, err)
	}
	l := &Lab{Dir: dir}
	if err := json.Unmarshal(raw, l); err != nil {
		return nil, domicile.E(op, domicile.Invalid, filepath.Join(dir, labFile)+": "+err.Error())
	}
	return l, nil
}

// Path makes a path of lab.json absolute.
func (l *Lab) Path(rel string) string { return filepath.Join(l.Dir, filepath.FromSlash(rel)) }

// Node returns the node of that name, or nil.
func (l *Lab) Node(name domicile.Node) *Node {
	for i := range l.Nodes {
		if l.Nodes[i].Name == name {
			return &l.Nodes[i]
		}
	}
	return nil
}

// Home returns the node that holds a region's store and serves its operators, or nil.
func (l *Lab) Home(r domicile.Region) *Node {
	for i := range l.Nodes {
		if l.Nodes[i].Region == r && l.Nodes[i].Admin != "" {
			return &l.Nodes[i]
		}
	}
	return nil
}

// Who returns a region's first operator with a role, or nil.
func (l *Lab) Who(r domicile.Region, role string) *Operator {
	for i, o := range l.Operators {
		if o.Region == r && slices.Contains(o.Roles, role) {
			return &l.Operators[i]
		}
	}
	return nil
}

// AuthorityFile returns the path of a file of one of the lab's authorities: key.pem, cert.pem, age.key, age.pub or status.jwt.
func (l *Lab) AuthorityFile(id, file string) string {
	return filepath.Join(l.Dir, "authorities", id, file)
}

// save writes lab.json: the last act of Init.
func (l *Lab) save() error {
	raw, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.Dir, labFile), append(raw, '\n'), 0o644)
}
