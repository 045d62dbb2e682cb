package imapd

// messageVerbs are the commands that select a mailbox, and those on its messages.
var messageVerbs = map[string]verb{
	"SELECT":      {run: (*session).selectMailbox, tells: noUpdates},
	"EXAMINE":     {run: (*session).examine, tells: noUpdates},
	"CLOSE":       {run: (*session).closeMailbox, needs: selected, tells: noUpdates},
	"UNSELECT":    {run: (*session).unselect, needs: selected, tells: noUpdates},
	"IDLE":        {run: (*session).idle, waits: true},
	"FETCH":       {run: (*session).fetch, needs: selected, tells: withoutGone, numbers: true},
	"UID FETCH":   {run: (*session).uidFetch, needs: selected},
	"STORE":       {run: (*session).storeFlags, needs: writable, tells: withoutGone, numbers: true},
	"UID STORE":   {run: (*session).uidStoreFlags, needs: writable},
	"EXPUNGE":     {run: (*session).expunge, needs: writable},
	"UID EXPUNGE": {run: (*session).uidExpunge, needs: writable},
	"REPLACE":     {run: (*session).replace, needs: writable, numbers: true},
	"UID REPLACE": {run: (*session).uidReplace, needs: writable},
	"COPY":        {run: (*session).copyMessages, needs: selected, numbers: true},
	"UID COPY":    {run: (*session).uidCopy, needs: selected},
	"MOVE":        {run: (*session).move, needs: writable, numbers: true},
	"UID MOVE":    {run: (*session).uidMove, needs: writable},
}
