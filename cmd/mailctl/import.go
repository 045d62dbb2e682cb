package main

import (
	"time"

	"github.com/spf13/cobra"
)

// importWords are the flags of account import.
type importWords struct {
	address, from, passwordFile, sourceCA string
	folders, exclude                      []string
	since, rate                           string
	dryRun, keepUIDs                      bool
}

func (a *app) accountImport() *cobra.Command {
	var w importWords
	cmd := &cobra.Command{
		Use:   "import ADDR",
		Short: "Bring mail in from a Maildir, mbox files or another server",
		Long: `Bring mail into an account of your region, from elsewhere. Nothing changes at the source. --from says what that is:

  maildir:PATH           a Maildir with its folders, or a folder of Maildirs; with Dovecot's keywords, UIDs and subscriptions
  mbox:PATH              an mbox file, which becomes INBOX, or a folder of them, one for each mailbox; mboxo:, mboxrd: and
                         mboxcl2: say how lines "From " are quoted, where it is known
  imaps://USER@HOST[:PORT]   an account at another server; imap:// uses STARTTLS, and goes without TLS on loopback only.
                         The password is in --password-file. OAuth is not spoken: use an application's password.

Folders, flags, keywords, dates and subscriptions are kept. A folder that the source calls \Sent, \Drafts, \Junk, \Trash or \Archive
goes into the account's own. Line ends of a bare LF, as files have them, become CRLF; all else is byte for byte, but for an mbox's own
lines (docs/OPERATING.md, "Bringing mail in").

Run it again whenever you like: after a failure it goes on where it stood, later it brings what is new. Nothing is stored
twice, and nothing that the owner has deleted since comes back. Flags that changed at the source since, and messages that were
deleted there, are not followed.

Exit code 0 says that everything is there; 1 that something was skipped, which the summary names; 4 that source or node were out of
reach for ten minutes or you interrupted it: run the same command again. Progress is told on the standard error.`,
		Example: `  mailctl account import ann@example.com --from maildir:/var/mail/ann --dry-run
  mailctl account import ann@example.com --from imaps://ann@old.example.net --password-file ann.pw --exclude 'Trash' --folder 'Sent Items=Sent'
  mailctl account import ann@example.com --from mbox:/srv/archive/ann --since 2020-01-01 --limit-rate 5M`,
		Args: args("ADDR"),
		RunE: func(cmd *cobra.Command, addr []string) error {
			w.address = addr[0]
			return a.importMail(cmd, w)
		},
	}
	f := cmd.Flags()
	f.StringVar(&w.from, "from", "", "the `source`, see above")
	f.StringVar(&w.passwordFile, "password-file", "", "`file` with the password at an IMAP source")
	f.StringVar(&w.sourceCA, "source-ca", "", "CA certificate of an IMAP source, a `file`, if the system does not know it")
	f.StringArrayVar(&w.folders, "folder", nil, "put a folder of the source, and those below it, elsewhere: `FROM=TO`; may be given again")
	f.StringArrayVar(&w.exclude, "exclude", nil, "leave a folder of the source out, by `name`, in which * stands for anything; may be given again")
	f.StringVar(&w.since, "since", "", "only messages of this `date` (2006-01-02) and later")
	f.StringVar(&w.rate, "limit-rate", "", "send at most so many bytes a second to the node: a `number` such as 500k or 5M")
	f.BoolVar(&w.keepUIDs, "keep-uids", false, "keep UIDVALIDITY and UIDs, so that mail programs need not fetch anew; of mailboxes that never had mail")
	f.BoolVar(&w.dryRun, "dry-run", false, "only count what would be brought in")
	return cmd
}

// importPatience is how long source or node may be out of reach before an import gives up.
const importPatience = 10 * time.Minute

func (a *app) importMail(cmd *cobra.Command, w importWords) error {
	if err := needs(cmd, "from"); err != nil {
		return err
	}
	job, err := newImportJob(a, cmd, w)
	if err != nil {
		return err
	}
	src, err := openSource(cmd, w)
	if err != nil {
		return err
	}
	defer src.Close()
	c, err := a.client(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	job.src, job.node = src, c
	err = job.run(cmd.Context())
	if err != nil && !job.begun {
		return err
	}
	return job.show(err)
}
