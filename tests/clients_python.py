"""What TestPython has Python's own mail libraries do. It fails by an exception."""

import glob
import imaplib
import smtplib
import ssl
import sys

ca, smtp, imap, imaps, address, password, folder = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def mail(path):
    with open(path, "rb") as f:
        return f.read()


files = sorted(glob.glob(folder + "/out-*"))

# Send all, on one connection that goes over to TLS.
with smtplib.SMTP("localhost", int(smtp), local_hostname="client.example", timeout=30) as s:
    s.ehlo()
    assert s.has_extn("starttls") and s.has_extn("8bitmime") and s.has_extn("size")
    s.starttls(context=tls)
    s.ehlo()
    assert not s.has_extn("starttls")
    for f in files:
        assert s.sendmail("python@sender.example", [address], mail(f), ["BODY=8BITMIME"]) == {}
    try:
        s.sendmail("python@sender.example", ["nobody-there@example.com"], mail(files[0]))
        raise AssertionError("an unknown recipient was taken")
    except smtplib.SMTPRecipientsRefused as e:
        assert [code for code, _ in e.recipients.values()] == [550], e
    assert s.noop()[0] == 250

# Flags, search, copy, append and expunge over IMAPS.
with imaplib.IMAP4_SSL("localhost", int(imaps), ssl_context=tls, timeout=30) as c:
    ok(c.login(address, password))
    assert ok(c.select("INBOX")) == [str(len(files)).encode()]
    assert ok(c.search(None, "SUBJECT", '"letter 3"')) == [b"3"]
    assert ok(c.uid("SEARCH", None, "UNSEEN", "SINCE", "1-Jan-2026"))[0].split()[0] == b"1"
    ok(c.create("Kept/2026"))
    ok(c.subscribe("Kept/2026"))
    assert any(b"Kept/2026" in line for line in ok(c.lsub()))
    ok(c.append("Kept/2026", r"(\Flagged custom)", '"02-Mar-2026 10:00:00 +0000"', mail(files[2])))
    ok(c.copy("2", "Kept/2026"))
    ok(c.store("1", "+FLAGS", r"(\Deleted)"))
    assert ok(c.expunge()) == [b"1"]
    assert b"MESSAGES 2" in ok(c.status("Kept/2026", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"))[0]
    ok(c.select("Kept/2026", readonly=True))
    flags = b" ".join(ok(c.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)")))
    assert b"\\Flagged" in flags and b"custom" in flags and b'" 2-Mar-2026 10:00:00 +0000"' in flags, flags
    assert b"RFC822.SIZE %d" % len(mail(files[2])) in flags, flags
    ok(c.close())

# What imaplib knows besides: ENABLE, NAMESPACE, SORT, THREAD, QUOTA, UNSELECT, and IDLE said by hand.
with imaplib.IMAP4_SSL("localhost", int(imaps), ssl_context=tls, timeout=60) as c:
    ok(c.login(address, password))
    ok(c.create('"Entw&APw-rfe"'))
    # Behind ENABLE imaplib would put "UTF8 (" into the message instead of before it.
    ok(c.append('"Entw&APw-rfe"', None, None, "Subject: Gr\u00fc\u00dfe\r\n\r\n".encode()))
    ok(c.enable("UTF8=ACCEPT"))
    assert c.utf8_enabled
    assert any("Entw\u00fcrfe".encode() in line for line in ok(c.list()))
    ok(c.select('"Entw\u00fcrfe"'))
    assert ok(c.search(None, 'SUBJECT "gr\u00fc\u00dfe"')) == [b"1"]
    assert ok(c.sort("REVERSE DATE", "UTF-8", "ALL")) == [b"1"]
    assert ok(c.uid("SORT", "(SUBJECT)", "UTF-8", "ALL")) == [b"1"]
    assert ok(c.thread("REFERENCES", "UTF-8", "ALL")) == [b"(1)"]
    assert ok(c.uid("THREAD", "ORDEREDSUBJECT", "UTF-8", "ALL")) == [b"(1)"]
    assert ok(c.namespace()) == [b'(("" "/")) NIL NIL']
    roots, _ = ok(c.getquotaroot("INBOX"))
    assert roots[0].startswith(b'"INBOX"'), roots
    ok(c.check())
    tag = c._new_tag()
    c.send(tag + b" IDLE\r\n")
    assert c.readline().startswith(b"+ ")
    with imaplib.IMAP4_SSL("localhost", int(imaps), ssl_context=tls, timeout=60) as d:
        ok(d.login(address, password))
        ok(d.append('"Entw&APw-rfe"', None, None, b"Subject: second\r\n\r\n"))
    assert c.readline() == b"* 2 EXISTS\r\n"
    assert c.readline().endswith(b" RECENT\r\n")
    c.send(b"DONE\r\n")
    assert c.readline().startswith(tag + b" OK")
    ok(c.store("1:2", "+FLAGS", r"(\Deleted)"))
    assert ok(c.expunge()) == [b"2", b"1"]
    ok(c.unselect())
    ok(c.rename('"Entw\u00fcrfe"', '"Fertig"'))
    ok(c.delete('"Fertig"'))

# Read everything over STARTTLS, with SASL, in pieces and whole.
with imaplib.IMAP4("localhost", int(imap), timeout=30) as c:
    assert "STARTTLS" in c.capabilities
    ok(c.starttls(tls))
    assert "STARTTLS" not in c.capabilities
    ok(c.authenticate("PLAIN", lambda _: b"\0" + address.encode() + b"\0" + password.encode()))
    count = int(ok(c.select("INBOX", readonly=True))[0])
    for n in range(count):
        whole = ok(c.fetch(str(n + 1), "(BODY.PEEK[])"))[0][1]
        head = ok(c.fetch(str(n + 1), "(BODY.PEEK[HEADER])"))[0][1]
        text = ok(c.fetch(str(n + 1), "(BODY.PEEK[TEXT])"))[0][1]
        assert head + text == whole
        assert ok(c.fetch(str(n + 1), "(BODY.PEEK[]<7.100>)"))[0][1] == whole[7:107]
        with open("%s/in-%d" % (folder, n), "wb") as f:
            f.write(whole)
