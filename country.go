package domicile

import "strings"

// Country is an ISO 3166-1 alpha-2 code in upper case. The zero value is no country.
type Country string

// The officially assigned codes of ISO 3166-1. User-assigned codes such as XX
// are not countries: nothing is ever placed by them.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"

// eea are the member states of the European Union and Iceland, Liechtenstein and Norway.
const eea = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"

func listed(list, code string) bool {
	return len(code) == 2 && strings.Contains(" "+list+" ", " "+code+" ")
}

// ParseCountry accepts an assigned code in any letter case. Anything else is
// refused with UnknownCountry: an unknown residence is never defaulted.
func ParseCountry(s string) (Country, error) {
	c := strings.ToUpper(s)
	if !listed(countries, c) {
		return "", Refuse("country", UnknownCountry, "house/known-country", clip(s)+" is not an ISO 3166-1 alpha-2 country code")
	}
	return Country(c), nil
}

// EEA reports whether c belongs to the European Economic Area, where the GDPR applies.
func (c Country) EEA() bool { return listed(eea, string(c)) }
