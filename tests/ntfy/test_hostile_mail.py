"""SMTP in, from clients that mean harm (section 11.1): bounded, answered or hung up on, and the next one is served."""

import base64
import contextlib
import socket
import time
import zlib
from collections.abc import Iterator

import httpx
import psutil
import pytest
from tests.ntfy.conftest import OpenTransport
from tests.ntfy.server import KEEPALIVE, PATIENCE, Loop, Server

from gbe.http import mail
from gbe.http.mail import mail_server
from gbe.http.server import listen
from gbe.notify.config import NotifyConfig

CONFIG = NotifyConfig(
    keepalive_interval=KEEPALIVE, smtp_server_listen="127.0.0.1:0", smtp_server_domain="in.example.net"
)
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(loop: Loop, http_client: httpx.Client, memory_transport: OpenTransport) -> Iterator[Server]:
    with Server(loop, http_client, memory_transport, notify=CONFIG) as server:
        yield server


@pytest.fixture
def port(loop: Loop, server: Server) -> Iterator[int]:
    """Where the server takes mails in."""
    sock = listen("127.0.0.1", 0, backlog=200)
    running = mail_server(server.application, CONFIG, sock)
    loop.call(running.__aenter__())
    yield sock.getsockname()[1]
    loop.call(running.__aexit__(None, None, None))


class Client:
    """Says what a test wants to say, line by line or all at once."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def reply(self) -> int:
        """The code of the next reply; 0: the server has hung up."""
        try:
            while line := self._file.readline():
                if line[3:4] != b"-":
                    return int(line[:3])
        except ConnectionError:
            pass
        return 0

    def say(self, *lines: bytes) -> list[int]:
        """Send all at once; the codes of as many replies."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(b"".join(line + b"\r\n" for line in lines))
        return [self.reply() for _ in lines]

    def begin(self, topic: str) -> None:
        """Up to the text of a mail."""
        assert self.reply() == 220
        assert self.say(b"EHLO x", b"MAIL FROM:<a@b.net>", _to(topic), b"DATA") == [250, 250, 250, 354]


def _to(topic: str) -> bytes:
    return f"RCPT TO:<{topic}@in.example.net>".encode()


def test_commands_that_come_all_at_once_are_answered_in_order(port: int, server: Server, topic: str) -> None:
    """Two mails on one connection, and what else a client may say."""
    with Client(port) as client:
        client.begin(topic)
        assert client.say(b"Subject: 1\r\n\r\nfirst\r\n.") == [250]
        codes = client.say(
            b"MAIL FROM:<a@b.net>", _to(topic), b"RSET", b"NOOP", b"MAIL FROM:<a@b.net>", _to(topic), b"DATA"
        )
        assert codes == [250, 250, 250, 250, 250, 250, 354]
        assert client.say(b"\r\nsecond\r\n.", b"QUIT") == [250, 221]
    assert [message["message"] for message in server.poll(topic)] == ["first", "second"]


def test_only_the_end_of_a_mail_ends_it(port: int, server: Server, topic: str) -> None:
    """A dot between bare line feeds does not: what follows would be commands of somebody else."""
    smuggled = (
        b"\n.\nMAIL FROM:<evil@b.net>\r\nRCPT TO:<" + topic.encode() + b"-evil@in.example.net>\r\nDATA\r\nevil\r\n.\r\n"
    )
    with Client(port) as client:
        client.begin(topic)
        client.socket.sendall(b"Subject: x\r\n\r\ntext" + smuggled + b"QUIT\r\n")
        while client.reply() not in (0, 221):
            pass
    assert server.poll(f"{topic}-evil") == []


def test_many_recipients_are_one(port: int, server: Server, topic: str) -> None:
    with Client(port) as client:
        assert client.reply() == 220
        client.say(b"EHLO x", b"MAIL FROM:<a@b.net>", _to(topic))
        seen = [client.say(_to(f"{topic}{number}"))[0] for number in range(100)]
        assert set(seen) <= {452, 421, 0}
        assert seen[0] == 452
    assert server.poll(topic) == []


def _bomb(text: bytes, encoding: bytes, charset: bytes = b"utf-8") -> bytes:
    head = b"Subject: bomb\r\nContent-Type: text/plain; charset=%b\r\nContent-Transfer-Encoding: %b\r\n\r\n"
    return head % (charset, encoding) + text


_NESTED = b"Content-Type: message/rfc822\r\n\r\n" * 18 + b"Content-Type: text/plain\r\n\r\nhi"
_BASE64 = base64.encodebytes(b"\xff" * 700_000).replace(b"\n", b"\r\n")
_PARAMETERS = b"".join(b"b*%d*=%%41;\r\n " % n for n in range(8_000))
BOMBS = {
    "base64": _bomb(_BASE64, b"base64"),
    "quoted-printable": _bomb(b"=41" * 300 + b"=\r\n" + (b"=C3=28" * 12 + b"=\r\n") * 12_000, b"quoted-printable"),
    "utf-7": _bomb(b"+AAA" * 15 + b"\r\n" * 15_000, b"8bit", b"utf-7"),
    "utf-32": _bomb(b"\x00\x11\xff\xff" * 200_000, b"8bit", b"utf-32"),
    "idna": _bomb((b"xn--" + b"a" * 60 + b".") * 10_000, b"8bit", b"idna"),
    "punycode": _bomb((b"a" * 70 + b"-" + b"9" * 60 + b"\r\n") * 6_000, b"8bit", b"punycode"),
    "unicode_escape": _bomb(rb"\N{LATIN SMALL LETTER A}" * 20_000, b"8bit", b"unicode_escape"),
    "compressed": _bomb(base64.encodebytes(zlib.compress(b"0" * 100 * MIB)), b"base64", b"zlib"),
    "mail in mail": _NESTED,
    "parameters": b"Content-Type: multipart/mixed; " + _PARAMETERS + b"\r\n\r\nx",
    "headers": b"".join(b"X-%d: y\r\n" % n for n in range(50_000)) + b"\r\nx",
    "continued": b"Subject: a" + b"\r\n b" * 100_000 + b"\r\n\r\nx",
    "words": b"Subject: " + b"=?utf-8?b?4pyT?=\r\n " * 20_000 + b"\r\n\r\nx",
    "html": b"Content-Type: text/html\r\n\r\n" + b"<br>&#9;&amp;<p>\r\n" * 40_000,
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_message_or_is_refused(port: int, server: Server, topic: str, name: str) -> None:
    """Within seconds, in bounded memory; the server answers meanwhile."""
    before = psutil.Process().memory_info().rss
    with Client(port) as client:
        client.begin(topic)
        sent = BOMBS[name].replace(b"\r\n.", b"\r\n..")
        client.socket.sendall(sent + b"\r\n.\r\n")
        began = time.monotonic()
        assert server.get("/v1/health").status_code == 200
        assert client.reply() in (250, 500, 552, 554)
        assert time.monotonic() - began < PATIENCE
    assert psutil.Process().memory_info().rss - before < 150 * MIB
    for message in server.poll(topic):
        assert len(message["message"].encode()) < 4096


def test_text_without_end_is_refused_while_it_comes(port: int, topic: str) -> None:
    """More than a mebibyte is not kept, whether in lines or in one."""
    for piece in (b"line\r\n" * 1000, b"x" * 6000):
        with Client(port) as client:
            client.begin(topic)
            sent = 0
            try:
                while sent < 8 * MIB:
                    client.socket.sendall(piece)
                    sent += len(piece)
                client.socket.sendall(b"\r\n.\r\n")
            except ConnectionError:
                continue
            assert client.reply() in (0, 500, 552)


def test_slow_clients_are_hung_up_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent ones, and those that say a byte now and then; the limits are short here so that nobody waits."""
    monkeypatch.setattr(mail, "_TIMEOUT", 0.5)
    with Client(port) as silent:
        assert silent.reply() == 220
        assert silent.reply() in (0, 421)
    monkeypatch.setattr(mail, "_TIMEOUT", PATIENCE)
    monkeypatch.setattr(mail, "_LONGEST_LIFE", 0.5)
    with Client(port) as slow:
        assert slow.reply() == 220
        deadline = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < deadline:
                slow.socket.sendall(b"N")
                time.sleep(0.02)  # it is slow
        except ConnectionError:
            return
        raise AssertionError("a slow client is still served")


def test_no_more_clients_than_fit_and_room_again_when_they_leave(port: int) -> None:
    clients = [Client(port) for _ in range(mail.MAX_CONNECTIONS)]
    try:
        assert {client.reply() for client in clients} == {220}
        with Client(port) as one_more:
            assert one_more.reply() == 421
    finally:
        for client in clients:
            client.__exit__()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with Client(port) as again:
            if again.reply() == 220:
                return
    raise AssertionError("nobody is let in again")
