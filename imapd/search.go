package imapd

// searchVerbs are SEARCH, SORT and THREAD.
var searchVerbs = map[string]verb{}
