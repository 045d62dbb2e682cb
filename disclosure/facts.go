package disclosure

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"domicile"
)

// Facts are all that policies may look at: a flat record of texts, whole numbers, truth values and sorted lists of
// texts, computed in Go from catalog, registry, treaties, account and token. Its canonical form is JSON with sorted
// keys and no spaces, and its hash the SHA-256 of that. It names no person: no address, no account.
type Facts struct {
	// the order
	OrderType       string   `json:"order_type"`
	Regime          string   `json:"regime"`
	Issuer          string   `json:"issuer"`                  // id in the registry
	IssuerRole      string   `json:"issuer_role"`             // in the registry
	IssuerCountry   string   `json:"issuer_country"`          //
	IssuerEEA       bool     `json:"issuer_eea"`              //
	Categories      []string `json:"categories"`              // asked for
	Format          string   `json:"format"`                  // eml, plaintext
	Issued          int64    `json:"issued"`                  // Unix seconds
	Now             int64    `json:"now"`                     // when the question was asked, Unix seconds
	WindowFrom      int64    `json:"window_from"`             //
	WindowTo        int64    `json:"window_to"`               //
	MaxItems        int64    `json:"max_items"`               //
	MaxBytes        int64    `json:"max_bytes"`               //
	CeilingItems    int64    `json:"ceiling_items"`           // of the order type
	CeilingBytes    int64    `json:"ceiling_bytes"`           //
	OffenceClass    string   `json:"offence_class"`           //
	MaxSentence     int64    `json:"max_sentence"`            // years
	Emergency       bool     `json:"emergency"`               //
	Nondisclosure   bool     `json:"nondisclosure"`           // a secrecy order is in force now
	Status          string   `json:"status"`                  // valid, stayed, revoked, status_stale
	TransferClaimed bool     `json:"transfer_ground_claimed"` // issued_under names GDPR chapter V or article 49 ("gdpr:…")

	// agreements and the other state's part
	Agreement          string `json:"agreement"`                 // cited, "" for none
	AgreementKind      string `json:"agreement_kind"`            // mlat, executive, protocol; "" if not in force
	AgreementCovers    bool   `json:"agreement_covers"`          // in force when issued, and links issuer's and region's states
	RequestingSigned   bool   `json:"requesting_state_signed"`   // by a central authority of the issuer's state, another than the region's
	RequestedValidated bool   `json:"requested_state_validated"` // by a central or validating authority of the region's state
	DomesticSigned     bool   `json:"domestic_order_signed"`     // by an executing authority of the region's state
	DomesticCited      bool   `json:"domestic_order_cited"`      // the token carries the hash of that state's own order
	DeliveryRole       string `json:"delivery_role"`             // of whose key delivery_to is
	DeliveryCountry    string `json:"delivery_country"`          //

	// who was served
	Addressee           string   `json:"addressee"`            // entity
	AddresseeCountry    string   `json:"addressee_country"`    //
	AddresseeEEA        bool     `json:"addressee_eea"`        //
	ControllerCountries []string `json:"controller_countries"` // of all who control the addressee, itself not counted
	ThroughParent       bool     `json:"through_parent"`       // served on who controls this region's entity, or told by another region

	// where things are
	Region         string   `json:"region"`
	RegionCountry  string   `json:"region_country"`
	RegionEEA      bool     `json:"region_eea"`
	StorageRegion  string   `json:"storage_region"`        // where the account rests
	ContentStorage []string `json:"content_storage"`       // countries with a copy of content
	RecordStorage  []string `json:"record_storage"`        // countries with a copy of subscriber and traffic records
	Qualifying     bool     `json:"qualifying_government"` // the storing state has an executive agreement with the issuer's

	// the person
	Residence       string `json:"residence"`        // declared
	TargetUSPerson  bool   `json:"target_us_person"` // never known to us, so false
	AccountClass    string `json:"account_class"`    // standard, e2e; "" where the account is not here
	ProtectedPerson bool   `json:"protected_person"`

	// this region's own house
	RegistryFrozen bool  `json:"registry_frozen"`
	Judged         bool  `json:"judged"`    // a person decided to execute
	Approvals      int64 `json:"approvals"` // different legal officers who did
}

// subject is what is known of the target.
type subject struct {
	account   domicile.AccountID
	home      domicile.Region
	residence domicile.Country // "" where the account is not here
	class     string
	protected bool
}

// facts computes the record for a verified order. told says that another region passed it on.
func (k *checker) facts(o *order, s subject, told bool) Facts {
	c := o.claims
	f := Facts{OrderType: c.OrderType, Regime: c.Regime, Issuer: c.Issuer, IssuerRole: o.issuer.Role,
		IssuerCountry: string(o.issuer.Country), IssuerEEA: o.issuer.Country.EEA(), Categories: sorted(c.Scope.Categories),
		Format: or(c.Format, "eml"), Issued: c.IssuedAt, Now: k.now.Unix(),
		WindowFrom: c.Scope.Window.From, WindowTo: c.Scope.Window.To, MaxItems: c.Scope.MaxItems, MaxBytes: c.Scope.MaxBytes,
		CeilingItems: o.kind.MaxItems, CeilingBytes: o.kind.MaxBytes, OffenceClass: c.Scope.Offence, MaxSentence: c.Scope.MaxSentence,
		Emergency: c.Scope.Emergency, Nondisclosure: c.Nondisclose > k.now.Unix(), Status: "valid",
		TransferClaimed: strings.HasPrefix(strings.ToLower(c.IssuedUnder), "gdpr:"),
		Agreement:       c.Agreement, DomesticCited: c.Domestic != nil,
		Region: string(k.region), StorageRegion: string(s.home), Residence: string(s.residence), AccountClass: s.class,
		ProtectedPerson: s.protected, RegistryFrozen: k.reg.frozen,
	}
	if code, _ := k.reg.status(c, o.signers, k.lab, k.now); code != "" {
		f.Status = string(code)
	}
	k.places(&f, o, s)
	k.parties(&f, o, told)
	k.treaty(&f, o)
	return f
}

// places fills in where the region stands and where the account's data rest.
func (k *checker) places(f *Facts, o *order, s subject) {
	f.RegionCountry, f.RegionEEA = string(k.country()), k.country().EEA()
	storing, ok := k.catalog.Region(s.home)
	if !ok {
		return
	}
	f.ContentStorage = []string{string(storing.Country)}
	f.RecordStorage = []string{string(storing.Country)}
	f.Qualifying = k.law.qualifying(storing.Country, o.issuer.Country, k.lawOn(o.claims.IssuedAt))
}

// parties fills in the control graph around the addressee.
func (k *checker) parties(f *Facts, o *order, told bool) {
	f.Addressee = string(o.claims.Audience.Entity)
	for i, e := range k.catalog.Controllers(o.claims.Audience.Entity) {
		if i == 0 {
			f.AddresseeCountry, f.AddresseeEEA = string(e.Country), e.Country.EEA()
			continue
		}
		f.ControllerCountries = append(f.ControllerCountries, string(e.Country))
	}
	f.ControllerCountries = sorted(f.ControllerCountries)
	own, _ := k.catalog.Region(k.region)
	f.ThroughParent = told || o.claims.Audience.Entity != own.Entity
}

// treaty fills in the agreement cited and the signatures of both states.
func (k *checker) treaty(f *Facts, o *order) {
	here := k.country()
	if a, ok := k.law.inForce(o.claims.Agreement, k.lawOn(o.claims.IssuedAt)); ok {
		f.AgreementKind, f.AgreementCovers = a.Kind, a.links(o.issuer.Country, here)
	}
	for _, s := range o.signers {
		switch {
		case s.role == "central" && s.by.Country == o.issuer.Country && s.by.Country != here:
			f.RequestingSigned = true
		case s.role == "validating" && s.by.Country == here:
			f.RequestedValidated = true
		case s.role == "executing" && s.by.Country == here:
			f.DomesticSigned = true
		}
	}
	if m := k.reg.recipientOwner(o.claims.DeliveryTo); m != nil {
		f.DeliveryRole, f.DeliveryCountry = m.Role, string(m.Country)
	}
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

// canonical is the facts' one byte form.
func (f Facts) canonical() ([]byte, error) {
	v := reflect.ValueOf(&f).Elem()
	for i := range v.NumField() { // an absent list is an empty one
		if fv := v.Field(i); fv.Kind() == reflect.Slice && fv.IsNil() {
			fv.Set(reflect.MakeSlice(fv.Type(), 0, 0))
		}
	}
	return canonical(f)
}

// with overrides single facts. An unknown name or a wrong type is Invalid.
func (f Facts) with(over map[string]json.RawMessage) (Facts, error) {
	const op = "override facts"
	for name, raw := range over {
		if _, ok := fieldOf(reflect.TypeOf(f), name); !ok || name == "" {
			return f, domicile.E(op, domicile.Invalid, fmt.Sprintf("there is no fact %.64q", name))
		}
		one, err := json.Marshal(map[string]json.RawMessage{name: raw})
		if err == nil {
			err = strictJSON(one, &f)
		}
		if err != nil {
			return f, domicile.E(op, domicile.Invalid, fmt.Sprintf("the value for %q: %v", name, err))
		}
	}
	f.Categories, f.ControllerCountries = sorted(f.Categories), sorted(f.ControllerCountries)
	f.ContentStorage, f.RecordStorage = sorted(f.ContentStorage), sorted(f.RecordStorage)
	return f, nil
}

// record gives the facts to Cedar as the request's context.
func (f Facts) record() cedar.Record {
	out := cedar.RecordMap{}
	v := reflect.ValueOf(f)
	for i := range v.NumField() {
		name := cedar.String(v.Type().Field(i).Tag.Get("json"))
		switch x := v.Field(i).Interface().(type) {
		case string:
			out[name] = cedar.String(x)
		case int64:
			out[name] = cedar.Long(x)
		case bool:
			out[name] = cedar.Boolean(x)
		case []string:
			vals := make([]cedar.Value, len(x))
			for j, s := range x {
				vals[j] = cedar.String(s)
			}
			out[name] = cedar.NewSet(vals...)
		}
	}
	return cedar.NewRecord(out)
}
