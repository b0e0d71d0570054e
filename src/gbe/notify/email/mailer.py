"""Sends mails in the background: bounded in number, tried again while the fault may pass, never in anybody's way."""

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiosmtplib

from gbe.notify.config import NotifyConfig
from gbe.notify.email.config import parse_address

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 500
"""Mails that may wait or be under way; more are dropped, with a line in the log."""
_AT_A_TIME: Final = 4
_TIMEOUT: Final = 30.0
_IMPLICIT_TLS: Final = 465
_PERMANENT: Final = range(500, 600)
PAUSES: Final = (2.0, 10.0, 60.0, 300.0)
"""Seconds between two attempts; after the last one the mail is given up."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail, ready to go."""

    to: str
    content: bytes


class Mailer:
    """One process's way to the mail server. ``close`` gives what is under way a moment.

    Args:
        config: with ``smtp_sender_addr``.
        on_result: hears of each mail that was handed over (``True``) or given up (``False``).
        tls: trusts what; by default the authorities of the system.
    """

    def __init__(
        self,
        config: NotifyConfig,
        on_result: Callable[[bool], None] = lambda _sent: None,
        *,
        pauses: tuple[float, ...] = PAUSES,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._config, self._on_result, self._pauses, self._tls = config, on_result, pauses, tls
        self._host, self._port = parse_address("smtp_sender_addr", config.smtp_sender_addr)
        self._free = asyncio.Semaphore(_AT_A_TIME)
        self._waiting: set[asyncio.Task[None]] = set()

    def send(self, mail: Mail) -> None:
        """Take charge of a mail; its failure is logged and counted, nothing else."""
        if len(self._waiting) >= MAX_WAITING:
            logger.error("e-mail dropped: %d wait already; is the mail server there?", len(self._waiting))
            self._on_result(False)
            return
        task = asyncio.get_running_loop().create_task(self._deliver(mail), name="gbe.mail")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def close(self, grace: float = 5.0) -> None:
        """Wait a moment for what is under way, then give up the rest."""
        if not self._waiting:
            return
        _, left = await asyncio.wait(self._waiting, timeout=grace)
        if left:
            logger.error("the server stops: %d e-mails were not sent", len(left))
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _deliver(self, mail: Mail) -> None:
        for pause in (*self._pauses, None):
            try:
                async with self._free:
                    await self._hand_over(mail)
            except (aiosmtplib.SMTPException, OSError) as exc:
                if pause is None or _is_final(exc):
                    logger.warning("e-mail given up: %s", exc)  # the server's words; addresses and texts stay out
                    self._on_result(False)
                    return
                logger.info("e-mail waits %g s for the mail server: %s", pause, exc)
            else:
                self._on_result(True)
                return
            await asyncio.sleep(pause)

    async def _hand_over(self, mail: Mail) -> None:
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            timeout=_TIMEOUT,
            use_tls=self._port == _IMPLICIT_TLS,
            tls_context=self._tls,
        )  # without an answer to the contrary it upgrades to TLS where the server can
        await client.connect()
        try:
            if self._config.smtp_sender_user:
                self._check_secret(client)
                await client.login(self._config.smtp_sender_user, self._config.smtp_sender_pass)
            await client.sendmail(self._config.smtp_sender_from, [mail.to], mail.content)
        finally:
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_TIMEOUT)
            client.close()

    def _check_secret(self, client: aiosmtplib.SMTP) -> None:
        """A password goes over TLS, or stays on this machine."""
        transport = client.transport
        encrypted = transport is not None and transport.get_extra_info("ssl_object") is not None
        if not encrypted and not _is_this_machine(self._host):
            raise aiosmtplib.SMTPAuthenticationError(
                530, f"{self._host} offers no TLS, and the password is not sent without it"
            )


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _is_final(exc: Exception) -> bool:
    """Whether the same mail would be refused again."""
    if isinstance(exc, aiosmtplib.SMTPRecipientsRefused):
        return all(recipient.code in _PERMANENT for recipient in exc.recipients)
    return isinstance(exc, aiosmtplib.SMTPResponseException) and exc.code in _PERMANENT
