package imapd

// mailboxVerbs are the commands on mailboxes as a whole.
var mailboxVerbs = map[string]verb{}
