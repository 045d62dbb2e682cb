package lab

import (
	"os"
	"time"

	"domicile"
	"domicile/disclosure"
)

// The authorities of the story. Each region's registry lists all of them: that a signer is known says only whose
// signature it is, and what it may order is said by its role, its order types and the law in force.
const (
	usCourt   = "us-district-court"
	usCentral = "us-central-authority"
	ieCentral = "ie-central-authority"
	ieCourt   = "ie-court"
	deIssuing = "de-issuing-authority"
)

// publishedDir is the folder of a lab with what its authorities publish: their status lists. Beside their private keys there
// is only a link to each: a machine that runs a node is given the lists, in the place of authorities/, and no key.
const publishedDir = "published"

// statusAge is the stated age of a lab's status lists.
const statusAge = 30 * 24 * time.Hour

var courts = []disclosure.Authority{
	{ID: usCourt, Name: "United States District Court, Example District", Role: "issuing", Country: "US", Court: "D. Example",
		OrderTypes: []string{"us.sca.subpoena", "us.sca.order_2703d", "us.sca.warrant", "us.sca.preservation_2703f", "us.nondisclosure_2705b"},
		Categories: []string{"subscriber", "traffic", "content"}},
	{ID: usCentral, Name: "United States Central Authority", Role: "central", Country: "US",
		OrderTypes: []string{"mlat.request"}, Categories: []string{"subscriber", "traffic", "content"}},
	{ID: ieCentral, Name: "Irish Central Authority for Mutual Assistance", Role: "central", Country: "IE",
		OrderTypes: []string{"mlat.request"}, Categories: []string{"subscriber", "traffic", "content"}},
	{ID: ieCourt, Name: "District Court, Example District, Ireland", Role: "executing", Country: "IE", Court: "Example District",
		OrderTypes: []string{"mlat.request", "ie.domestic_order"}, Categories: []string{"subscriber", "traffic", "content"}},
	{ID: deIssuing, Name: "Issuing authority of another member state", Role: "issuing", Country: "DE",
		OrderTypes: []string{"eu.epoc", "eu.epoc_pr"}, Categories: []string{"subscriber", "traffic", "content"}},
}

// courts makes the authorities with their keys, a fresh status list each, and every region's registry of them.
func (m *maker) courts() error {
	var list []disclosure.Authority
	for _, a := range courts {
		if err := m.court(&a); err != nil {
			return domicile.W(a.ID, err)
		}
		list = append(list, a)
	}
	text, err := disclosure.MarshalRegistry(list)
	if err != nil {
		return err
	}
	for _, r := range m.Regions {
		if err := m.write(string(r.Name)+"/authorities.toml", text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// court makes one authority and completes its entry.
func (m *maker) court(a *disclosure.Authority) error {
	key, cert, age, recipient, err := disclosure.NewAuthority(a.ID, a.Name, a.Country, m.now)
	if err != nil {
		return err
	}
	status, err := disclosure.SignStatusList(nil, disclosure.TokenSigner{KeyPEM: key, CertPEM: cert, Role: a.Role}, nil, m.now)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{"authorities/" + a.ID + "/key.pem", key, 0o600}, {"authorities/" + a.ID + "/cert.pem", cert, 0o644}, {"authorities/" + a.ID + "/age.key", age, 0o600},
		{"authorities/" + a.ID + "/age.pub", []byte(recipient + "\n"), 0o644}, {publishedDir + "/" + a.ID + "/status.jwt", status, 0o644}} {
		if err := m.write(f.name, f.data, f.mode); err != nil {
			return err
		}
	}
	if err := os.Symlink("../../"+publishedDir+"/"+a.ID+"/status.jwt", m.lab.AuthorityFile(a.ID, "status.jwt")); err != nil {
		return err
	}
	a.Certificate, a.Recipient = string(cert), recipient
	a.StatusList, a.StatusAge = "file:../authorities/"+a.ID+"/status.jwt", statusAge.String()
	a.NotBefore, a.NotAfter = m.now.Add(-time.Hour), m.now.AddDate(2, 0, 0)
	return nil
}
