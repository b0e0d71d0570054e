"""A mail server for tests: a real one, in this process."""

import asyncio
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from tests.ntfy.server import Loop, eventually


class Postbox:
    """A mail server that keeps what it gets, and refuses what it is told to."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.mails: list[tuple[str, list[str], EmailMessage]] = []
        self.replies: list[str] = []
        self.logins: list[bytes] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.replies:
            return self.replies.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((str(envelope.mail_from), envelope.rcpt_tos, mail))
        return "250 OK"

    def _login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append(data.login + b":" + data.password)
        return AuthResult(success=True)

    def __enter__(self) -> "Postbox":
        async def start() -> asyncio.Server:
            def new() -> SMTP:
                return SMTP(self, auth_require_tls=False, authenticator=self._login)

            return await asyncio.get_running_loop().create_server(new, "127.0.0.1", 0)

        self._server = self._loop.call(start())
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()

        self._loop.call(stop())

    def one(self, subject: str) -> EmailMessage:
        """The mail of that subject, once it is there."""

        def found() -> list[EmailMessage]:
            return [mail for _, _, mail in self.mails if mail["Subject"] == subject]

        return eventually(found, f"a mail {subject!r} arrives")[0]
