// Package smtpd is the front that takes mail from other servers (port 25), from a mail server of the house (LMTP) and from the
// region's customers (submission), the queue in which the last waits, and the end of a delivery at home.
//
// A front may stand in any region. At RCPT the recipient's home region is looked up; a
// transaction has one home, recipients elsewhere get 452 4.5.3. At DATA the body goes
// to the home region as it arrives: into [Home] if this node holds the store, else
// over region.Node.Stream under a permit for each recipient. A front never writes mail
// anywhere. 250 is said when home has every copy on disk, and only then.
//
// By LMTP a transaction may have recipients of several homes: the body goes to all of them as it arrives, and each recipient
// gets an answer of its own. A home that holds the others up for long is left behind, with 451 for its recipients.
//
//	srv, err := smtpd.New(smtpd.Config{Region: "us-east", Hostname: "mx.example.com", MaxSize: 64 << 20,
//		Directory: dir, Guard: guard, Node: node, Log: log})
//	go srv.Serve(listener)
//	...
//	srv.Shutdown(ctx)
//
// # Submission
//
// A customer logs in within TLS, and writes in no name but their own (envelope, From, Sender, Resent-From). The password is checked at
// the account's home. A front elsewhere, or without a store, hands the connection over with it ([Server.Register]), and carries bytes in
// memory from there on; the owner may refuse that ("account abroad"). Date and
// Message-ID are added where missing; Bcc is removed. The message rests in the [Queue], sealed under the account's key, before 250
// is said. The queue's worker takes it to each recipient's home as a front does, again and again until it is there or it has
// expired, and tells the sender of what failed. Each step may be repeated: deliveries carry the message's id ("once"), under which
// a home stores nothing twice.
//
// # Answers
//
//	550 5.7.1   not our domain                     550 5.1.1   no such name, on the registrar's word
//	451 4.4.1   home or registrar out of reach     452 4.5.3   other home region, or more than 100 recipients
//	552 5.3.4   too large                          552 5.2.2   mailbox full (452 4.2.2 if there are other recipients)
//	550 5.6.0   NUL in the body                    550 5.7.1   refused by rule; the reason code is in the text
//
// and on the submission ports
//
//	530 5.7.0   not logged in                      535 5.7.8   unknown name, wrong password; refused abroad
//	538 5.7.11  AUTH outside TLS                   535 5.7.13  suspended
//	550 5.7.1   another's name; other providers    450 4.7.1   too many recipients in an hour
//	554 5.6.0   a header that can be read two ways 452 4.3.1   the queue is full
//
// # Bytes
//
// What a customer reads is
//
//	Return-Path: <sender>           added at home
//	Received: from HELO ([IP])      added by the front
//	        by HOST with ESMTP id ID; DATE     (LMTP; with S at its end within TLS; a customer's is
//	                                            "by HOST with ESMTPSA", and does not say from where)
//	(the body, byte for byte)
//
// in which a bare LF or a bare CR of the body is a CRLF: both are normalised before the
// end of the body is looked for, so that both ends of a connection agree on it (the
// lone dot must stand between two CRLF; see lines.go). NUL is refused. Home checks what
// comes from another node for the same form, whoever that node serves by now.
//
// The header of a delivery between nodes is JSON: "v" (1), "id" (queue id), "sender",
// "recipients" (account ids), "trace" (the Received field), "each" and "once". The answer is "v",
// "tokens" and, to an each delivery, "failed", in the order of the recipients; "delivery/answered" carries "v",
// "recipients", "tokens" and "answered". docs/FORMATS.md tells more.
//
// # Twice
//
// A sender that did not see our 250 sends again (RFC 1047). Home commits under a token,
// HMAC-SHA-256 under a key of the region over sender, account and body, without the
// trace field; so a repetition stores nothing. When the 250 has gone out the token is
// forgotten: the same mail sent again on purpose arrives again. Until home knows
// whether it went out, a repetition waits. That word is given beside the connection, and home gathers words for some 50 ms, so that what
// is forgotten shares a flush. If nobody tells home within a minute, it counts as not answered.
//
// The key rests in the store's table "delivery", under "token-key".
package smtpd
