"""What TestPythonSubmits has Python's smtplib do on the submission ports. It fails by an exception."""

import glob
import smtplib
import ssl
import sys

ca, submission, submissions, address, password, other, folder = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)


def mail(path):
    with open(path, "rb") as f:
        return f.read()


files = sorted(glob.glob(folder + "/out-*"))


def session(s, auth, batch):
    s.ehlo()
    assert "starttls" not in s.esmtp_features and s.esmtp_features["auth"].split() == ["SCRAM-SHA-256", "PLAIN", "LOGIN"], s.esmtp_features
    try:
        s.mail(address)
        assert s.mail(address)[0] == 530
    except smtplib.SMTPException:
        pass
    try:
        s.login(address, "wrong")
        raise AssertionError("a wrong password was taken")
    except smtplib.SMTPAuthenticationError as e:
        assert e.smtp_code == 535, e
    s.user, s.password = address, password
    assert s.auth(auth, getattr(s, "auth_" + auth.lower()))[0] == 235
    for f in batch:
        assert s.sendmail(address, [address, other], mail(f), ["BODY=8BITMIME"]) == {}
    for to, want in (("nobody-there@example.com", 550), ("someone@elsewhere.example", 550)):
        try:
            s.sendmail(address, [to], mail(files[0]))
            raise AssertionError(to + " was taken")
        except smtplib.SMTPRecipientsRefused as e:
            assert [code for code, _ in e.recipients.values()] == [want], e
    try:
        s.sendmail(other, [address], mail(files[0]))
        raise AssertionError("another's address was taken for the sender's")
    except smtplib.SMTPSenderRefused as e:
        assert e.smtp_code == 550, e


with smtplib.SMTP("localhost", int(submission), local_hostname="client.example", timeout=60) as s:
    s.ehlo()
    s.starttls(context=tls)
    session(s, "PLAIN", files[:2])
with smtplib.SMTP_SSL("localhost", int(submissions), local_hostname="client.example", context=tls, timeout=60) as s:
    session(s, "LOGIN", files[2:])
