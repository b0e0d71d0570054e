"""Removes what is in a topic before its time: for who gives the topic up (section 6.3)."""

from typing import Final

from gbe.notify.files import Files
from gbe.notify.hub import topic_subject
from gbe.notify.live import read_message
from gbe.notify.scheduled import Scheduled
from gbe.transport.base import EARLIEST, AfterPosition, Start, StoredMessage, Transport

_PAGE: Final = 1000
_CLOCK_TOLERANCE_MS: Final = 5000  # between this process and the engine


class Erasing:
    """Erases topics.

    Args:
        files: ``None``: no message has one.
    """

    def __init__(self, transport: Transport, files: Files | None, scheduled: Scheduled, namespace: str) -> None:
        self._transport, self._files, self._scheduled, self._namespace = transport, files, scheduled, namespace

    async def erase(self, topic: str, now_ms: int) -> None:
        """Remove the stored messages of a topic, their files, and what waits to be delivered there.

        What an archiver or another consumer has not read yet stays until it has, as everywhere.

        Args:
            now_ms: unix milliseconds.

        Raises:
            TransportError, StateError: a store did not answer; some of it may be gone. Erasing again is safe.
        """
        subject = topic_subject(self._namespace, topic)
        await self._scheduled.withdraw_all(topic)
        if self._files is not None:
            await self._erase_files(self._files, topic, subject, now_ms)
        await self._transport.trim(subject, now_ms + _CLOCK_TOLERANCE_MS)

    async def _erase_files(self, files: Files, topic: str, subject: str, now_ms: int) -> None:
        start: Start = EARLIEST
        while stored := await self._transport.read(subject, start=start, limit=_PAGE):
            for each in stored:
                await self._erase_file(files, topic, each, now_ms)
            last = stored[-1].position
            if last is None or len(stored) < _PAGE:
                return
            start = AfterPosition(last)

    async def _erase_file(self, files: Files, topic: str, stored: StoredMessage, now_ms: int) -> None:
        message = read_message(topic, stored)
        attachment = None if message is None else message.notification.attachment
        if attachment is None or attachment.size is None:  # a link only, perhaps to somebody else's file
            return
        file_id = files.id_in(attachment.url)
        file = None if file_id is None else await files.find(file_id, now_ms)
        if file is not None:
            await files.discard(file, now_ms)
