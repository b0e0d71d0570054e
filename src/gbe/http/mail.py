"""Takes in mails over SMTP and publishes them as any client would: with its limits, its access control, its errors."""

import asyncio
import base64
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import msgspec
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from gbe import metrics
from gbe.http.asgi import App
from gbe.http.inner import Answer, ask
from gbe.notify.config import NotifyConfig
from gbe.notify.email.incoming import MAX_MAIL_BYTES, MailRefusedError, Recipient, read_mail, read_recipient
from gbe.notify.text import one_line

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 100
_TIMEOUT: Final = 10.0
"""Seconds that a client may be silent."""
_LONGEST_LIFE: Final = 120.0
"""Seconds that a connection may take in all: slow bytes are not silence."""
_REPLY: Final = 200


class _Handler:
    """What aiosmtpd asks at each step of a mail; its names are its."""

    def __init__(self, application: App, config: NotifyConfig) -> None:
        self._application, self._config = application, config

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient per mail"
        try:
            read_recipient(address, self._config)
        except MailRefusedError as exc:
            metrics.count_incoming_mail(False)
            return exc.reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        try:
            recipient = read_recipient(envelope.rcpt_tos[0], self._config)
            content = envelope.content if isinstance(envelope.content, bytes) else b""
            # in a thread: a mail of a megabyte takes a while to be read
            mail = await asyncio.to_thread(read_mail, content, limit=self._config.message_size_limit)
        except MailRefusedError as exc:
            metrics.count_incoming_mail(False)
            return exc.reply
        answer = await ask(
            self._application,
            "POST",
            f"/{recipient.topic}",
            headers=[*_title(mail.title), *_credentials(recipient, session)],
            body=mail.message.encode("utf-8", "replace"),
            client=_client(session),
        )
        metrics.count_incoming_mail(answer.status == 200)
        return _reply(answer)


def _title(title: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-title", title.encode("utf-8", "replace"))] if title else []


def _credentials(recipient: Recipient, session: Session) -> list[tuple[bytes, bytes]]:
    """The token of the address, or who has logged in."""
    if recipient.token:
        return [(b"authorization", b"Bearer " + recipient.token.encode("ascii"))]
    login: object = session.auth_data
    if isinstance(login, LoginPassword):
        return [(b"authorization", b"Basic " + base64.b64encode(login.login + b":" + login.password))]
    return []


def _client(session: Session) -> tuple[str, int]:
    peer: object = session.peer
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else ("127.0.0.1", 0)


def _reply(answer: Answer) -> str:
    """An answer of HTTP in SMTP's terms: what may pass is temporary."""
    if answer.status == 200:
        return "250 2.0.0 OK"
    try:
        error = str(msgspec.json.decode(answer.body, type=dict[str, Any]).get("error", ""))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        error = ""
    text = one_line(error).encode("ascii", "replace").decode()[:_REPLY] or "refused"
    if answer.status in (429, 507) or answer.status >= 500:
        return f"451 4.7.1 {text}"
    return f"{'535 5.7.8' if answer.status == 401 else '554 5.7.1'} {text}"


def _accept(_server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    """Whoever logs in is believed until the mail is published: there the password is checked, and failures count."""
    if mechanism not in ("PLAIN", "LOGIN") or not isinstance(data, LoginPassword):
        return AuthResult(success=False, handled=False)
    return AuthResult(success=True, auth_data=data)


class _Connections:
    """Bounds how many there are at a time, and how long each lives."""

    def __init__(self, handler: _Handler, config: NotifyConfig) -> None:
        self._handler, self._config = handler, config
        self._open: set[SMTP] = set()

    def new(self) -> asyncio.Protocol:
        """The protocol of a connection that has come in."""
        if len(self._open) >= MAX_CONNECTIONS:
            return _Full()
        return _Bounded(
            self._open,
            self._handler,
            data_size_limit=MAX_MAIL_BYTES,
            hostname=self._config.smtp_server_domain,
            ident="gbe",
            timeout=_TIMEOUT,
            enable_SMTPUTF8=False,
            auth_require_tls=False,  # as with ntfy; docs/email.md says where this listener belongs
            authenticator=_accept,
            command_call_limit={"NOOP": 20, "VRFY": 5, "AUTH": 3, "*": 50},
        )

    def close(self) -> None:
        """Hang up on everybody."""
        for connection in list(self._open):
            if connection.transport is not None:
                connection.transport.close()


class _Full(asyncio.Protocol):
    """Too many are there already."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        full = cast("asyncio.WriteTransport", transport)  # uvloop's is none by its class, so that cannot be asked
        full.write(b"421 4.3.2 too many connections, try again later\r\n")
        full.close()


class _Bounded(SMTP):
    line_length_limit = 8 * 1024  # RFC 5321 says 1000; there are programs that do not care

    def __init__(self, among: set[SMTP], handler: _Handler, **options: Any) -> None:
        super().__init__(handler, **options)
        self._among = among
        self._ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._among.add(self)
        self._ends = asyncio.get_running_loop().call_later(_LONGEST_LIFE, transport.close)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._among.discard(self)
        if self._ends is not None:
            self._ends.cancel()
        super().connection_lost(error)


@asynccontextmanager
async def mail_server(application: App, config: NotifyConfig, sock: socket.socket) -> AsyncIterator[None]:
    """Take in mails while the block runs.

    Args:
        application: what messages are published through.
        sock: listens already.
    """
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd would log each command, tokens and all
    connections = _Connections(_Handler(application, config), config)
    server = await asyncio.get_running_loop().create_server(connections.new, sock=sock)
    logger.info("mails are taken in for %s", config.smtp_server_domain, extra={"port": sock.getsockname()[1]})
    try:
        yield
    finally:
        server.close()
        connections.close()
        await server.wait_closed()
