package disclosure

// Names of the rules that Go itself applies, before and beside the bundles' policies.
const (
	ruleNoToken   = "house/token-required"
	ruleToken     = "house/token-form"
	ruleAuthority = "house/authority-registered"
	ruleFrozen    = "house/registry-frozen"
	ruleRole      = "house/authority-role"
	ruleSigners   = "house/signatures-needed"
	ruleAudience  = "house/audience"
	ruleClock     = "house/clock"
	ruleDates     = "house/token-dates"
	ruleStatus    = "house/status"
	ruleWindow    = "house/no-tap"
	ruleScope     = "house/scope-within-basis"
	ruleDelivery  = "house/delivery"
	ruleReplay    = "house/replay"
	ruleAbroad    = "house/stored-abroad"
	ruleTold      = "house/through-parent"
	ruleTarget    = "house/target"
	ruleJudgement = "house/judgement"
	ruleApprovals = "house/two-persons"
	ruleDocument  = "house/document"
	ruleState     = "house/case-state"
	ruleRelease   = "house/release-quorum"
	ruleCourt     = "house/court-act"
	roleOfficer   = "house/legal-role"
)
