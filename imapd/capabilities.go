package imapd

import (
	"strconv"
	"strings"
)

// offered are the capabilities behind the login. This is the one place that decides: a capability stands here once all of it
// works, and what it enables or adds to the grammar works if it stands here. docs/IMAP.md says which test shows each.
var offered = []string{
	// plain.go, progress.go, append.go, catenate.go
	"IMAP4rev1", "LITERAL+", "ENABLE", "ID", "INPROGRESS", "NAMESPACE", "UTF8=ACCEPT", "MULTIAPPEND", "CATENATE", "QUOTA", "QUOTA=RES-STORAGE",
	// mailboxes.go, list.go, status.go
	"CHILDREN", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "CREATE-SPECIAL-USE", "STATUS=SIZE",
	// metadata.go, metadatatell.go, list.go
	"METADATA", "LIST-METADATA",
	// select.go, view.go, fetchitems.go, storeflags.go, expunge.go, copy.go, idle.go
	"IMAP4rev2", "SASL-IR", "UNSELECT", "UIDPLUS", "MOVE", "IDLE", "CONDSTORE", "QRESYNC", "BINARY", "OBJECTID", "SAVEDATE", "PREVIEW",
	"UIDONLY",
	// replace.go
	"REPLACE",
	// notify.go, notifytell.go
	"NOTIFY",
	// contexts.go
	"CONTEXT=SEARCH", "CONTEXT=SORT",
	// search.go, sort.go, thread.go
	"ESEARCH", "SEARCHRES", "PARTIAL", "WITHIN", "SORT", "SORT=DISPLAY", "ESORT", "THREAD=REFERENCES", "THREAD=ORDEREDSUBJECT",
}

// offer returns a capability as it is offered, whatever case it is asked for in; "" if it is not.
func offer(name string) string {
	for _, c := range offered {
		if strings.EqualFold(c, name) {
			return c
		}
	}
	return ""
}

// capabilities are those of a session, as CAPABILITY and the answer to the login tell them.
func (s *session) capabilities() string {
	caps := strings.Join(offered, " ") + " APPENDLIMIT=" + strconv.FormatInt(s.maxSize, 10)
	if s.mayCompress() {
		caps += " COMPRESS=DEFLATE"
	}
	if s.mayUnauthenticate() {
		caps += " UNAUTHENTICATE"
	}
	return caps
}

// shown is what a client learns before its login, for what the front serves itself, and for what most programs look for and
// do not ask about again.
const shown = "IMAP4rev1 IMAP4rev2 LITERAL- SASL-IR ID ENABLE IDLE LOGIN-REFERRALS"

func (d *door) capabilities() string {
	caps := shown
	if d.mayUpgrade() {
		caps += " STARTTLS"
	}
	if d.mayLogin() {
		return caps + d.mechanisms()
	}
	return caps + " LOGINDISABLED"
}
