package imapd

import (
	"domicile/imapd/wire"
	"domicile/store"
)

// quotaRoot is the one root that an account has (RFC 9208 3.2): its quota holds for all mailboxes together.
const quotaRoot = "account"

// getQuota is GETQUOTA (RFC 9208 4.1.1).
func (s *session) getQuota(cmd *wire.Command) (string, error) {
	cmd.SP()
	root := cmd.Astring()
	if err := cmd.End(); err != nil {
		return "", err
	}
	has, err := s.tellQuota(root == quotaRoot)
	if err == nil && !has {
		err = no("NONEXISTENT", "No such quota root")
	}
	return "", err
}

// getQuotaRoot is GETQUOTAROOT. The mailbox need not exist (RFC 9208 4.1.2).
func (s *session) getQuotaRoot(cmd *wire.Command) (string, error) {
	cmd.SP()
	name := cmd.Mailbox()
	if err := cmd.End(); err != nil {
		return "", err
	}
	name, err := store.MailboxName(name)
	if err != nil {
		return "", failure(err)
	}
	a, err := s.store().Account(s.ctx(), s.acct)
	if err != nil {
		return "", failure(err)
	}
	s.conn.Raw("* QUOTAROOT ").Mailbox(name)
	if a.Quota > 0 {
		s.conn.Raw(" ").Str(quotaRoot)
	}
	s.conn.Line()
	_, err = s.tellQuota(true)
	return "", err
}

// tellQuota tells how much of its quota the account uses, in units of 1024 bytes (RFC 9208 5.1), if it has one.
func (s *session) tellQuota(ask bool) (has bool, err error) {
	a, err := s.store().Account(s.ctx(), s.acct)
	if err != nil || !ask || a.Quota == 0 {
		return false, failure(err)
	}
	used, err := s.store().Used(s.ctx(), s.acct)
	if err != nil {
		return false, failure(err)
	}
	s.conn.Raw("* QUOTA ").Str(quotaRoot).Raw(" (STORAGE ").Num((used + 1023) / 1024).Raw(" ").Num((a.Quota + 1023) / 1024).Raw(")").Line()
	return true, nil
}

// setQuota is SETQUOTA (RFC 9208 4.1.3): a quota is the operator's to set.
func (s *session) setQuota(cmd *wire.Command) (string, error) {
	cmd.SP()
	cmd.Astring()
	cmd.SP()
	cmd.List(10, true, func() {
		cmd.Word()
		cmd.SP()
		cmd.Num64()
	})
	if err := cmd.End(); err != nil {
		return "", err
	}
	return "", no("NOPERM", "The operator sets quotas")
}
