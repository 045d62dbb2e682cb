package domicile

// Reason says why something was refused. The list is closed: a code that is not
// in Reasons does not exist. Each is documented with an example in docs/REASONS.md,
// and a test holds the two lists against each other.
type Reason string

const (
	NoToken              Reason = "no_token"                  // an export or order without a legal-basis token
	BadSignature         Reason = "bad_signature"             // token malformed, altered, or signed with a forbidden algorithm
	UnknownAuthority     Reason = "unknown_authority"         // signer is not in this region's authority registry
	WrongRole            Reason = "wrong_role"                // signer may not make an order of this type or category; operator lacks a role
	MissingSignature     Reason = "missing_signature"         // a signature that this order type needs is absent
	WrongAudience        Reason = "wrong_audience"            // presented for a region or entity that the token does not name
	Expired              Reason = "expired"                   // past exp
	NotYetValid          Reason = "not_yet_valid"             // before nbf
	Replayed             Reason = "replayed"                  // jti already spent
	Revoked              Reason = "revoked"                   // status list says INVALID, or the order was withdrawn
	Stayed               Reason = "stayed"                    // status list says SUSPENDED, or a stay was entered
	StatusStale          Reason = "status_stale"              // status list missing or older than its stated age
	ScopeExceedsBasis    Reason = "scope_exceeds_basis"       // asks for more than the order type, or a widened review, can carry
	ProspectiveNot       Reason = "prospective_not_supported" // a window that ends in the future: there is no tap
	ContentStoredAbroad  Reason = "content_stored_abroad"     // nothing of the account rests in this region
	ConflictOfLaws       Reason = "conflict_of_laws"          // the storing region's law forbids execution
	NoLegalBasis         Reason = "no_legal_basis"            // no policy in force permits execution
	ResidenceFrozen      Reason = "residence_frozen"          // a hold or order freezes the account (legal roles only)
	CoolingDown          Reason = "cooling_down"              // a change of residence rests until its review
	EvidenceInsufficient Reason = "evidence_insufficient"     // fewer independent items than the rule needs
	EvidenceContradicts  Reason = "evidence_contradicts"      // items name different countries
	SelfApproval         Reason = "self_approval"             // the requester may not approve
	UnknownCountry       Reason = "unknown_country"           // not an ISO 3166-1 alpha-2 code
	ResidenceNotServed   Reason = "residence_not_served"      // no region of the catalog serves that country
	WrongRegion          Reason = "wrong_region"              // asked of, opened in, or coming from another region than the one it belongs to
	QuorumNotReached     Reason = "quorum_not_reached"        // too few independent cosignatures yet
	NotPossessed         Reason = "not_possessed"             // the region holds nothing of that kind for the target
	Referred             Reason = "referred"                  // a person must decide
	ClockUnsure          Reason = "clock_unsure"              // local clock disagrees with cosigned time
	NoPermit             Reason = "no_permit"                 // bytes offered to the border without a usable permit
	PermitSpent          Reason = "permit_spent"              // a permit used twice
	PermitForeign        Reason = "permit_foreign"            // a permit of another guard, class or destination
	PermitExceeded       Reason = "permit_exceeded"           // more bytes than the permit's ceiling, or other bytes than its digest
	EgressClassUnknown   Reason = "egress_class_unknown"      // no row in the table for this class
	EgressNotAllowed     Reason = "egress_not_allowed"        // the table's row forbids it
	JournalUnavailable   Reason = "journal_unavailable"       // the decision could not be written down, so the answer is no
	PeerUnverified       Reason = "peer_unverified"           // certificate not of the region's own authority
	CatalogUnverified    Reason = "catalog_unverified"        // catalog older, with a gap, or lacking a signature it needs
	LogRolledBack        Reason = "log_rolled_back"           // a restored log that is older, or another, than one that was cosigned
	OwnershipUnverified  Reason = "ownership_unverified"      // an ownership record that its home did not sign
	NameTaken            Reason = "name_taken"                // the address is claimed already, or rests in quarantine
	DomainNotServed      Reason = "domain_not_served"         // the domain is not in the catalog
	OutsideNotServed     Reason = "outside_not_served"        // mail submitted for a domain that is not in the catalog: it cannot leave yet
	ConsentMissing       Reason = "consent_missing"           // the owner's export without the owner's consent or an order
	DualApprovalMissing  Reason = "dual_approval_missing"     // a second person's concurrence is needed first
	LoginFailed          Reason = "login_failed"              // an unknown name or a wrong password
	AccountSuspended     Reason = "account_suspended"         // an operator ended logins
	AbroadRefused        Reason = "abroad_refused"            // the owner wants no sessions through another region
	ReadAtHome           Reason = "read_at_home"              // the owner wants clients abroad to be referred to the home
	OrderStateWrong      Reason = "order_state_wrong"         // the case is not in a state that allows this act
	MoveNotApproved      Reason = "move_not_approved"         // mail would move without a change of residence that both regions know to be approved
	MovePastHandover     Reason = "move_past_handover"        // the account belongs to its next home already
)

// Reasons is the closed list.
var Reasons = []Reason{
	NoToken, BadSignature, UnknownAuthority, WrongRole, MissingSignature, WrongAudience, Expired, NotYetValid,
	Replayed, Revoked, Stayed, StatusStale, ScopeExceedsBasis, ProspectiveNot, ContentStoredAbroad, ConflictOfLaws,
	NoLegalBasis, ResidenceFrozen, CoolingDown, EvidenceInsufficient, EvidenceContradicts, SelfApproval, UnknownCountry,
	ResidenceNotServed, WrongRegion, QuorumNotReached, NotPossessed, Referred, ClockUnsure, NoPermit, PermitSpent,
	PermitForeign, PermitExceeded, EgressClassUnknown, EgressNotAllowed, JournalUnavailable, PeerUnverified,
	CatalogUnverified, LogRolledBack, OwnershipUnverified, NameTaken, DomainNotServed, OutsideNotServed, ConsentMissing, DualApprovalMissing, LoginFailed, AccountSuspended,
	AbroadRefused, ReadAtHome, OrderStateWrong,
	MoveNotApproved, MovePastHandover,
}
