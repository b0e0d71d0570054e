"""E-mail out and in (section 11), against a real mail server and a real mail client in this process."""

import base64
import smtplib
import socket
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from tests.naming import unique
from tests.ntfy.conftest import OpenTransport
from tests.ntfy.postbox import Postbox
from tests.ntfy.server import KEEPALIVE, PATIENCE, Loop, Server, eventually

from gbe.http.mail import mail_server
from gbe.http.server import listen
from gbe.notify.config import NotifyConfig
from gbe.notify.email.mailer import Mail, Mailer


@pytest.fixture(scope="module")
def postbox(loop: Loop) -> Iterator[Postbox]:
    with Postbox(loop) as postbox:
        yield postbox


def config(postbox: Postbox, **options: Any) -> NotifyConfig:
    return NotifyConfig(
        keepalive_interval=KEEPALIVE,
        base_url="https://push.example.net",
        smtp_sender_addr=f"127.0.0.1:{postbox.port}",
        smtp_sender_from="gbe@example.net",
        smtp_server_listen="127.0.0.1:0",
        smtp_server_domain="in.example.net",
        smtp_server_addr_prefix="to-",
        **options,
    )


@pytest.fixture(scope="module")
def server(loop: Loop, http_client: Any, memory_transport: OpenTransport, postbox: Postbox) -> Iterator[Server]:
    """Nothing here depends on where messages lie."""
    with Server(loop, http_client, memory_transport, notify=config(postbox, visitor_email_limit_burst=200)) as server:
        yield server


@pytest.fixture(scope="module")
def mail_port(loop: Loop, server: Server) -> Iterator[int]:
    """Where the server takes mails in."""
    sock = listen("127.0.0.1", 0, backlog=10)
    stop = mail_server(server.application, server.notify_config, sock)
    loop.call(stop.__aenter__())
    yield sock.getsockname()[1]
    loop.call(stop.__aexit__(None, None, None))


@pytest.fixture
def send(mail_port: int) -> Callable[..., tuple[int, bytes]]:
    """Sends a mail and returns the reply to its text."""

    def sent(mail: EmailMessage | bytes, to: str, login: tuple[str, str] | None = None) -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", mail_port, timeout=PATIENCE) as client:
            if login:
                client.login(*login)
            client.ehlo()
            client.mail("ann@example.net")
            code, reply = client.rcpt(to)
            if code != 250:
                return code, reply
            return client.data(b"\r\n".join((mail if isinstance(mail, bytes) else mail.as_bytes()).splitlines()))

    return sent


# -- out


def test_a_message_goes_out_as_a_mail(server: Server, postbox: Postbox, topic: str) -> None:
    """Its parts are those of section 11.2."""
    subject = unique("Disk full ")
    headers = {"Title": subject, "Tags": "warning,nas1", "Priority": "high", "Email": "ann@example.net"}
    assert server.publish(topic, "93 %\nhurry", headers=headers)["title"] == subject
    mail = postbox.one(f"⚠ {subject}")
    sender, recipients, _ = next(entry for entry in postbox.mails if entry[2] is mail)
    assert (sender, recipients, mail["To"]) == ("gbe@example.net", ["ann@example.net"], "ann@example.net")
    assert mail["From"].addresses[0].display_name == f"push.example.net/{topic}"
    assert mail["From"].addresses[0].addr_spec == "gbe@example.net"
    assert (mail.get_content_type(), mail.get_content_charset()) == ("text/plain", "utf-8")
    assert mail["Date"].datetime is not None
    body = mail.get_content().replace("\r\n", "\n")
    assert body.startswith("93 %\nhurry\n\nTags: nas1\nPriority: high\n\n--\n")
    assert "sent by 127.0.0.1 at " in body
    assert body.rstrip().endswith(f"https://push.example.net/{topic}")


def test_without_a_title_the_subject_is_the_message(server: Server, postbox: Postbox, topic: str) -> None:
    """In one line."""
    text = unique("line one ")
    server.publish(topic, f"{text}\nline two", headers={"X-E-Mail": "ann@example.net"})
    assert postbox.one(f"{text} line two")


def test_mails_by_json_and_by_template(server: Server, postbox: Postbox, topic: str) -> None:
    """Every way of publishing knows the option."""
    first, second = unique("json "), unique("template ")
    body = {"topic": topic, "title": first, "message": "x", "email": "ann@example.net"}
    assert server.request("POST", "/", json=body).status_code == 200
    server.publish(f"{topic}?tpl=1&e=ann@example.net", f'{{"a":"{second}"}}', headers={"Title": "{{.a}}"})
    assert postbox.one(first)
    assert postbox.one(second)


@pytest.mark.parametrize("trick", ["a\r\nBcc: eve@example.net", "a\nBcc: eve@example.net\n\nbody", "a\r\n.\r\nMAIL"])
def test_nobody_adds_headers(server: Server, postbox: Postbox, topic: str, trick: str) -> None:
    """RFC 2047 words can hold line breaks; in a mail they are blanks."""
    start = unique("t")
    word = f"=?utf-8?b?{base64.b64encode(f'{start} {trick}'.encode()).decode()}?="
    server.publish(topic, "x", headers={"Title": word, "Tags": word, "Email": "ann@example.net"})

    def found() -> list[tuple[str, list[str], EmailMessage]]:
        return [entry for entry in postbox.mails if str(entry[2]["Subject"]).startswith(start)]

    _, recipients, mail = eventually(found, "the mail arrives")[0]
    assert recipients == ["ann@example.net"]
    assert mail["Bcc"] is None
    assert set(mail.keys()) == {
        "Content-Type", "MIME-Version", "Content-Transfer-Encoding", "Date", "Message-ID", "From", "To", "Subject",
        "Auto-Submitted",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Email": "no address"}, 40050),
        ({"Email": "a@b,c@d"}, 40050),
        ({"Email": "<a@b>"}, 40050),
        ({"Email": "a@b\tRCPT"}, 40050),
        ({"Email": "=?utf-8?b?YUBiDQpSQ1BUIFRPOjxlQGY+?="}, 40050),
        ({"Email": "yes"}, 40053),
        ({"Email": "a@b.net", "Delay": "1h"}, 40003),
        ({"Email": "a@b.net", "Delay": "1h", "Cache": "no"}, 40002),
        ({"Email": "no address", "Icon": "x"}, 40021),
        ({"Email": "no address", "Priority": "x"}, 40050),
    ],
)
def test_what_is_refused(server: Server, topic: str, headers: dict[str, str], code: int) -> None:
    """Before anything is published, in the order of the checks."""
    assert server.post(f"/{topic}", "x", headers=headers).json()["code"] == code
    assert server.poll(topic) == []


def test_a_visitor_has_a_limit(
    loop: Loop, http_client: Any, memory_transport: OpenTransport, postbox: Postbox, topic: str
) -> None:
    """42902, and the message is not published."""
    with Server(loop, http_client, memory_transport, notify=config(postbox, visitor_email_limit_burst=2)) as server:
        for _ in range(2):
            server.publish(topic, "x", headers={"Email": "a@b.net"})
        assert server.post(f"/{topic}", "x", headers={"Email": "a@b.net"}).json()["code"] == 42902
        assert len(server.poll(topic)) == 2


def test_a_mail_is_tried_again(loop: Loop, postbox: Postbox) -> None:
    """What may pass is tried again, what will not is given up; the reply to the publisher says nothing of it."""
    results: list[bool] = []

    async def send() -> None:
        mailer = Mailer(config(postbox), results.append, pauses=(0.01, 0.01))
        mailer.send(Mail("a@b.net", b"Subject: again\r\n\r\nx\r\n"))
        await mailer.close(PATIENCE)

    for replies, expected in ((["451 later", "421 later"], True), (["550 never"], False), (["451 later"] * 3, False)):
        results.clear()
        postbox.replies[:] = replies
        loop.call(send())
        assert results == [expected]
        assert postbox.replies == []


def test_it_logs_in(loop: Loop, postbox: Postbox) -> None:
    """To a server of this machine also without TLS."""
    results: list[bool] = []

    async def send() -> None:
        mailer = Mailer(config(postbox, smtp_sender_user="u", smtp_sender_pass="p w"), results.append, pauses=())
        mailer.send(Mail("a@b.net", b"Subject: hello\r\n\r\nx\r\n"))
        await mailer.close(PATIENCE)

    loop.call(send())
    assert (results, postbox.logins) == ([True], [b"u:p w"])


def test_a_mail_server_that_is_away_bounds_what_waits(loop: Loop, postbox: Postbox, expected_errors: set[str]) -> None:
    """More than fit are dropped at once, and stopping does not wait for the rest."""
    expected_errors |= {"e-mail dropped", "the server stops"}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = config(postbox)
        object.__setattr__(away, "smtp_sender_addr", f"127.0.0.1:{silent.getsockname()[1]}")
        results: list[bool] = []

        async def send() -> None:
            mailer = Mailer(away, results.append)
            for _ in range(510):
                mailer.send(Mail("a@b.net", b"x"))
            await mailer.close(0.05)

        loop.call(send())
        assert results == [False] * 10


# -- in


def mail(subject: str = "", text: str = "", **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    for name, value in headers.items():
        message[name] = value
    message.set_content(text)
    return message


def test_a_mail_becomes_a_message(server: Server, topic: str, send: Callable[..., tuple[int, bytes]]) -> None:
    """The subject is the title; RFC 2047 and encodings are decoded."""
    assert send(mail("Grüße 🎉", " Zeile eins\nZwei äöü \n"), f"to-{topic}@in.example.net")[0] == 250
    assert send(mail("Only a subject", " \n"), f"to-{topic}@IN.Example.NET")[0] == 250
    assert send(mail("", ""), f"to-{topic}@in.example.net")[0] == 250
    first, second, third = server.poll(topic)
    assert (first["title"], first["message"]) == ("Grüße 🎉", "Zeile eins\nZwei äöü")
    assert ("title" in second, second["message"]) == (False, "Only a subject")
    assert third["message"] == "triggered"


def test_text_before_html(server: Server, topic: str, send: Callable[..., tuple[int, bytes]]) -> None:
    """HTML loses its tags; text that is too long is cut, not refused."""
    both = mail("both", "plain")
    both.add_alternative("<p>html</p>", subtype="html")
    both.add_attachment(b"\0" * 100, maintype="image", subtype="png")
    html = EmailMessage()
    html["Subject"] = "html"
    html.set_content(
        "<style>p{}</style><h1>A &amp; B</h1><!-- no -->one<br>two<BR/>\n\n\n\n<script>evil()</script>three",
        subtype="html",
    )
    for one in (both, html, mail("long", "ä" * 5000)):
        assert send(one, f"to-{topic}@in.example.net")[0] == 250
    messages = [message["message"] for message in server.poll(topic)]
    assert messages[:2] == ["plain", "A & Bone\ntwo\n\nthree"]
    assert messages[2] == "ä" * 2047


@pytest.mark.parametrize(
    "to",
    ["to-{t}@example.net", "{t}@in.example.net", "to-a.b@in.example.net", "to-@in.example.net",
     "to-{t}+a-b@in.example.net", "to-a/b@in.example.net", "to-" + "x" * 65 + "@in.example.net"],
)  # fmt: skip
def test_other_addresses_are_refused(
    server: Server, topic: str, send: Callable[..., tuple[int, bytes]], to: str
) -> None:
    """Foreign domains, no prefix, what is no topic."""
    assert send(mail("x", "y"), to.format(t=topic))[0] == 550


def test_one_recipient_per_mail(mail_port: int, topic: str) -> None:
    """The second one is told to come again."""
    with smtplib.SMTP("127.0.0.1", mail_port, timeout=PATIENCE) as client:
        client.ehlo()
        client.mail("ann@example.net")
        assert client.rcpt(f"to-{topic}@in.example.net")[0] == 250
        assert client.rcpt(f"to-{topic}2@in.example.net")[0] == 452


def _nested(depth: int) -> bytes:
    start = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(depth))
    return b"Subject: x\n" + start + b"Content-Type: text/plain\n\nhi\n"


@pytest.mark.parametrize(
    "content",
    [
        _nested(3),
        _nested(3000),
        b"Content-Type: application/pdf\n\nx",
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: text/x\n\n\n" * 500,
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 100_000,
        b"Content-Type: multipart/mixed\n\nno boundary",
    ],
    ids=["nested", "nested deep", "other type", "many parts", "empty parts", "no boundary"],
)
def test_hostile_mails_are_refused(
    server: Server, topic: str, send: Callable[..., tuple[int, bytes]], content: bytes
) -> None:
    """With a reply that is final, and nothing published."""
    assert send(content, f"to-{topic}@in.example.net")[0] == 554
    assert server.poll(topic) == []


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: =?x-none?b?YQ==?= =?utf-8?q?=ff=0d=0aX-Evil: 1?=\n\nok",
        b"Content-Type: text/plain; charset=x-none\nContent-Transfer-Encoding: base64\n\n!!!b2s=",
        b"Content-Type: text/plain; charset=hex\n\n6f6b",
        b"Content-Type: text/html\n\n" + b"<<<<<<<<<\n" * 50_000,
        b"Content-Type: text/html\n\n" + b"<!--<!--\n" * 50_000,
        b"Content-Type: text/html\n\n" + b"<script>\n" * 50_000,
        b"Subject: " + b"=?utf-8?q?a?=\n " * 20_000 + b"\n\nok",
        b"\xff\xfe\0" * 100,
    ],
    ids=["charset", "base64", "codec", "less-than", "comments", "scripts", "words", "bytes"],
)
def test_odd_mails_do_no_harm(
    server: Server, topic: str, send: Callable[..., tuple[int, bytes]], content: bytes
) -> None:
    """They become some message, at once."""
    assert send(content, f"to-{topic}@in.example.net")[0] == 250
    assert len(server.poll(topic)) == 1


def test_a_mail_of_more_than_a_mebibyte_is_refused(topic: str, send: Callable[..., tuple[int, bytes]]) -> None:
    """While it is read, not after."""
    assert send(mail("x", "line of text\n" * 100_000), f"to-{topic}@in.example.net")[0] == 552


def test_errors_of_publishing_come_back(
    loop: Loop, http_client: Any, memory_transport: OpenTransport, postbox: Postbox, topic: str
) -> None:
    """Limits count for the mail client's address; what may pass is temporary."""
    limited = config(postbox, visitor_request_limit_burst=1, disallowed_topics=("secret",))
    with Server(loop, http_client, memory_transport, notify=limited, limits=True) as server:
        sock = listen("127.0.0.1", 0, backlog=10)
        running = mail_server(server.application, limited, sock)
        loop.call(running.__aenter__())
        replies = []
        for name in ("secret", topic, topic):
            with smtplib.SMTP("127.0.0.1", sock.getsockname()[1], timeout=PATIENCE) as client:
                client.ehlo()
                client.mail("a@b.net")
                client.rcpt(f"to-{name}@in.example.net")
                replies.append(client.data(mail("x", "y").as_bytes()))
        loop.call(running.__aexit__(None, None, None))
    assert [code for code, _ in replies] == [554, 250, 451]
    assert b"topic name is not allowed" in replies[0][1]
    assert b"too many requests" in replies[2][1]


def test_the_listener_is_no_relay_and_takes_no_endless_lines(mail_port: int) -> None:
    """Whatever a client says, it is answered or hung up on."""
    for junk in (b"X" * 100_000 + b"\r\n", b"\0\xff\r\n", b"RCPT TO:<a@b>\r\n", b"DATA\r\n", b"AUTH PLAIN !!!\r\n"):
        with socket.create_connection(("127.0.0.1", mail_port), timeout=PATIENCE) as sock:
            assert sock.recv(100).startswith(b"220")
            sock.sendall(b"EHLO x\r\n")
            eventually(lambda s=sock: b"250 " in s.recv(1000), "the greeting is answered")  # type: ignore[misc]
            sock.sendall(junk)
            assert sock.recv(100)[:1] in (b"4", b"5")


def test_secrets_do_not_reach_the_log(
    server: Server, topic: str, send: Callable[..., tuple[int, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the token of an address nor a password, at whatever level."""
    caplog.set_level("DEBUG")
    send(mail("x", "y"), f"to-{topic}+tk_verysecret@in.example.net", login=("ann", "quitesecret"))
    assert "secret" not in caplog.text
