package imapd

// messageVerbs are the commands that select a mailbox, and those on its messages.
var messageVerbs = map[string]verb{}
