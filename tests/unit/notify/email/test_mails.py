"""The pure parts of e-mail: what any mail becomes, and what any notification becomes as a mail."""

from email import message_from_bytes, policy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gbe.errors import ConfigError
from gbe.notify.config import NotifyConfig
from gbe.notify.email.compose import Origin, compose_mail, is_address
from gbe.notify.email.incoming import MailRefusedError, decode_subject, html_text, read_mail, read_recipient
from gbe.schemas.notify import Notification

CONFIG = NotifyConfig(smtp_server_listen=":25", smtp_server_domain="in.example.net")
ORIGIN = Origin(base_url="https://push.example.net", topic="ops", sender="192.0.2.1")

_headers = st.lists(
    st.sampled_from(
        [
            b"Subject: =?utf-8?b?w6Q=?= x",
            b"Subject: =?x?q?=FF?=",
            b"Content-Type: text/html; charset=utf-16",
            b"MIME-Version: 1.0",
            b"Content-Type: multipart/mixed; boundary=b",
            b"Content-Type: message/rfc822",
            b"Content-Transfer-Encoding: base64",
            b"Content-Transfer-Encoding: quoted-printable",
            b"Content-Transfer-Encoding: uuencode",
            b"Content-Type: ;;;",
            b"Content-Disposition: attachment",
            b"Subject",
            b": x",
            b" folded",
            b"Content-Type: text/plain; charset*0=x; charset*=y",
        ]
    )
).map(b"\r\n".join)
_bodies = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from([b"--b", b"--b--", b"", b"text", b"<br>", b"<p", b"begin 644 x", b"Content-Type: text/plain"])
    ).map(b"\r\n".join),
)


@given(_headers, _bodies, st.integers(2, 100))
@example(b"Content-Type: text/plain; charset=rot13", b"x", 10)
@example(b"Content-Type: text/plain; charset=undefined", b"x", 10)
@example(b"Content-Type: text/plain; charset=idna", b"\xff." * 50, 10)
def test_any_mail_is_read_or_refused(headers: bytes, body: bytes, limit: int) -> None:
    """Nothing else is raised, and what is read fits."""
    try:
        mail = read_mail(headers + b"\r\n\r\n" + body, limit=limit)
    except MailRefusedError:
        return
    assert len(mail.title.encode()) <= 1024
    assert mail.title == "" or len(mail.message.encode()) < limit


@given(st.text(max_size=60))
def test_any_address_is_one_of_a_topic_or_refused(text: str) -> None:
    """What comes out can stand in a path and in a header."""
    for address in (text, f"{text}@in.example.net", f"ops+{text}@in.example.net"):
        try:
            recipient = read_recipient(address, CONFIG)
        except MailRefusedError:
            continue
        assert recipient.topic.replace("-", "a").replace("_", "a").isalnum()
        assert recipient.topic.isascii()
        assert recipient.token == "" or recipient.token.replace("_", "a").isalnum()


@given(st.text(alphabet='<>!-/ abrscipt="\n&;', max_size=80))
def test_any_html_becomes_text(html: str) -> None:
    """Never longer than it was, but for entities."""
    assert "\n\n\n" not in html_text(html)
    decode_subject(html)


_texts = st.text(max_size=100)


@given(_texts, _texts, st.lists(st.text(max_size=20), max_size=3), st.sampled_from([None, 1, 5]))
@example("a\r\nBcc: x", "b\r\n.\r\nc", ["\r\nX: y"], None)
@example("\u2028Bcc: x\x85Y: z", "", ["warning"], 5)
def test_any_notification_is_one_plain_mail(title: str, message: str, tags: list[str], priority: int | None) -> None:
    """Whatever publishers write: the headers are ours, and there is one part."""
    notification = Notification(
        v=1, ts=0, id="abc", time=1, event="message", title=title, message=message, tags=tuple(tags), priority=priority
    )
    content = compose_mail(notification, ORIGIN, to="ann@example.net", sender="gbe@example.net")
    mail = message_from_bytes(content, policy=policy.default)
    assert len(mail.keys()) == 9
    assert (mail["To"], mail["From"].addresses[0].addr_spec) == ("ann@example.net", "gbe@example.net")
    assert mail.get_content_type() == "text/plain"
    assert not mail.is_multipart()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_addresses() -> None:
    """One plain address; nothing that a mail server could take for two, or for a command."""
    for good in ("a@b.net", "a.b+c@x-y.example.net", "o'hara@example.net"):
        assert is_address(good)
    for bad in (
        "",
        "a",
        "@b",
        "a@",
        "a@b,c@d",
        "a b@c",
        "<a@b>",
        "a@b\r\nRCPT TO:<c@d>",
        "a@b ",
        '"a b"@c',
        "ä@b.net",
        "a@b\n",
        "a@" + "b" * 300,
        "a@-b",
    ):
        assert not is_address(bad)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"smtp_sender_addr": "mail"}, "smtp_sender_addr"),
        ({"smtp_sender_addr": "mail:99999"}, "smtp_sender_addr"),
        ({"smtp_sender_from": "x"}, "smtp_sender_from"),
        ({"base_url": ""}, "base_url"),
        ({"smtp_server_listen": "25"}, "smtp_server_listen"),
        ({"smtp_server_domain": ""}, "smtp_server_domain"),
        ({"smtp_server_addr_prefix": "a b"}, "smtp_server_addr_prefix"),
        ({"visitor_email_limit_burst": 0}, "visitor_email_limit_burst"),
        ({"visitor_email_limit_replenish": 0.0}, "visitor_email_limit_replenish"),
    ],
)
def test_a_configuration_without_sense_is_refused(changes: dict[str, object], key: str) -> None:
    """The text names the key."""
    whole: dict[str, object] = {
        "base_url": "https://push.example.net",
        "smtp_sender_addr": "[::1]:25",
        "smtp_sender_from": "gbe@example.net",
        "smtp_server_listen": ":2525",
        "smtp_server_domain": "in.example.net",
    }
    NotifyConfig(**whole)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=key):
        NotifyConfig(**{**whole, **changes})  # type: ignore[arg-type]
