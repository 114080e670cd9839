"""Mail: what arrives, over which connection, and what nobody can make of it."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from monitor import config
from monitor.alerts import Alert
from monitor.mail import SmtpSink, mail_of
from monitor.sinks import RefusedError
from pcrlog.errors import UsageError
from tests.support.mail_server import Behaviour, MailServer, Tls, make_certificate
from tests.unit.monitor.delivering import HOSTILE, LOG, NOW, alert

SENDER, TO = "monitor@acme.example", ("ops@acme.example", "ciso@acme.example")


def settings(
    server: str,
    *,
    tls: Tls = "none",
    sender: str = SENDER,
    to: Sequence[str] = TO,
    user: str | None = None,
    password_file: str | None = None,
) -> config.Smtp:
    return config.Smtp("mail", server, sender, tuple(to), user, password_file, tls)


# --- the mail -------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["about", "found"])
def test_no_header_is_made_of_what_a_log_said(where: str) -> None:
    words = {"about": "a", "found": "b"} | {where: HOSTILE}
    hostile = Alert.of("fork", LOG, words["about"], words["found"], time=NOW)
    plain = mail_of(alert(1), SENDER, TO, NOW)
    mail = mail_of(hostile, SENDER, TO, NOW)
    assert mail.keys() == plain.keys()
    assert mail["To"] == ", ".join(TO)
    head, _, body = bytes(mail).partition(b"\r\n\r\n")
    assert b"\nBcc" not in head
    assert b"\nBcc" not in body
    assert re.fullmatch(rb"[\r\n -~]*", bytes(mail))
    assert max(map(len, body.splitlines())) <= 76


def test_a_long_subject_is_cut(tmp_path: Path) -> None:
    mail = mail_of(alert(1, about="x" * 5000), SENDER, TO, NOW)
    assert len(mail["Subject"]) <= 200
    with MailServer() as server:
        SmtpSink(settings(server.address), tmp_path).deliver(
            alert(1, about="x" * 5000), NOW
        )
    assert max(map(len, server.mails[0].data.splitlines())) < 998


def test_the_mail_says_why_and_what_to_do_and_is_recognised_when_it_comes_again() -> (
    None
):
    mail = mail_of(alert(1), SENDER, TO, NOW)
    again = mail_of(alert(1), SENDER, TO, NOW + 99)
    text = mail.get_content()
    assert "Why: a statement or measurement" in text
    assert "What to do: stop" in text
    assert mail["Message-ID"] == again["Message-ID"]
    assert mail["Auto-Submitted"] == "auto-generated"


# --- the server -----------------------------------------------------------------------


def test_a_mail_arrives_at_all_recipients(tmp_path: Path) -> None:
    with MailServer() as server:
        sink = SmtpSink(settings(server.address), tmp_path)
        assert sink.deliver(alert(1), NOW) is None
        sink.close()
    [mail] = server.mails
    assert (mail.sender, mail.recipients, mail.tls) == (SENDER, TO, False)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_mail_goes_over_tls_whose_certificate_is_checked(
    tmp_path: Path, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    (tmp_path / "password").write_text("p4ss\n")
    with MailServer(tls, certificate, ("monitor", "p4ss")) as server:
        sink = SmtpSink(
            settings(server.address, tls=tls, user="monitor", password_file="password"),
            tmp_path,
        )
        with pytest.raises(RefusedError, match="CERTIFICATE_VERIFY_FAILED"):
            sink.deliver(alert(1), NOW)
        assert server.mails == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        sink.deliver(alert(1), NOW)
        [mail] = server.mails
    assert (mail.tls, mail.user) == (True, "monitor")


def test_a_certificate_of_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, "other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with MailServer("starttls", certificate) as server:
        sink = SmtpSink(settings(server.address, tls="starttls"), tmp_path)
        with pytest.raises(RefusedError, match="not valid for"):
            sink.deliver(alert(1), NOW)


def test_a_server_without_starttls_gets_no_mail(tmp_path: Path) -> None:
    with MailServer() as server:
        sink = SmtpSink(settings(server.address, tls="starttls"), tmp_path)
        with pytest.raises(RefusedError, match="STARTTLS"):
            sink.deliver(alert(1), NOW)
    assert server.mails == []


def test_a_wrong_password_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    (tmp_path / "password").write_text("wr0ng")
    with MailServer("tls", certificate, ("monitor", "p4ss")) as server:
        sink = SmtpSink(
            settings(
                server.address, tls="tls", user="monitor", password_file="password"
            ),
            tmp_path,
        )
        with pytest.raises(RefusedError, match="535") as refused:
            sink.deliver(alert(1), NOW)
    assert "wr0ng" not in str(refused.value)


@pytest.mark.parametrize("behaviour", ["refuse", "reset", "drop"])
def test_a_stubborn_server_is_a_refusal(tmp_path: Path, behaviour: Behaviour) -> None:
    with MailServer() as server:
        server.misbehave(behaviour)
        sink = SmtpSink(settings(server.address), tmp_path)
        with pytest.raises(RefusedError, match="mail by 127"):
            sink.deliver(alert(1), NOW)
        sink.deliver(alert(1), NOW)


def test_who_of_several_was_refused_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {TO[1]: (550, b"unknown")}
    monkeypatch.setattr("smtplib.SMTP.send_message", lambda *_: refused)
    with MailServer() as server:
        words = SmtpSink(settings(server.address), tmp_path).deliver(alert(1), NOW)
    assert words == f"mail was refused for {TO[1]}"


def test_a_server_that_does_not_come_to_an_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.mail._MAIL_SECONDS", 0.3)
    with MailServer() as server:
        server.misbehave("hang")
        sink = SmtpSink(settings(server.address), tmp_path)
        with pytest.raises(RefusedError):
            sink.deliver(alert(1), NOW)


# --- the configuration ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"server": "127.0.0.1:0"}, "expected a port"),
        ({"server": "mail.example:25"}, "for a server on this machine"),
        ({"sender": "a@b\nBcc: eve@evil.example"}, "expected name@domain"),
        ({"to": ("eve",)}, "expected name@domain"),
        ({"to": ("ops@acme.example, eve@evil.example",)}, "expected name@domain"),
        ({"user": "monitor"}, "belong together"),
    ],
)
def test_what_cannot_work_is_refused(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    arguments: dict[str, object] = {"server": "127.0.0.1:25"} | changed
    with pytest.raises(UsageError, match=words):
        SmtpSink(settings(**arguments), tmp_path)  # type: ignore[arg-type] # as the table has it


@pytest.mark.parametrize("server", ["localhost:25", "[::1]:25", "127.0.0.2:25"])
def test_a_server_on_this_machine_needs_no_tls(tmp_path: Path, server: str) -> None:
    SmtpSink(settings(server), tmp_path).close()
