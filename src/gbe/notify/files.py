"""Files that belong to notifications (section 4.6): taken in within limits, kept for a while, handed out.

The bytes lie in the object store, what is known of them in the state store: so every node serves every file, whoever
took it in. An object's name says when it expires, so that files can be removed without a look at anything else.

A file has an id of its own, 12 characters that are random and long enough to be the secret that they are: whoever
knows it may download. The ids of messages are not secret (``gbe.notify.ids``).
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from gbe.errors import LeaseLostError, ObjectError, StateError
from gbe.notify.config import NotifyConfig
from gbe.notify.errors import Refusal
from gbe.notify.ids import random_alphanumerics
from gbe.notify.sniff import sniff
from gbe.notify.spool import Spool
from gbe.notify.usage import Usage
from gbe.notify.visitors import Visitor
from gbe.objects.store import ObjectStore
from gbe.schemas.notify import Attachment
from gbe.state.base import MIN_TTL, StateStore
from gbe.state.lease import Lease

logger = logging.getLogger(__name__)

PREFIX: Final = "notify/files"
ID_LENGTH: Final = 12
MAX_NAME: Final = 255
"""Characters of a file's name; longer ones are cut."""

_OBJECT: Final = re.compile(rf"{PREFIX}/([0-9]{{1,12}})/[A-Za-z0-9]{{{ID_LENGTH}}}")
_ID: Final = re.compile(rf"[A-Za-z0-9]{{{ID_LENGTH}}}(?![^.])")
_GRACE: Final = 60  # seconds: a download that began in time may end


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """What is known of a file.

    Attributes:
        id: 12 random alphanumerics.
        name: as its publisher named it, one line.
        type: MIME type, sniffed.
        size: bytes.
        expires: unix seconds.
        uploader: key of the visitor whose limits it counts against.
        object_name: where its bytes lie.
    """

    id: str
    name: str
    type: str
    size: int
    expires: int
    uploader: str
    object_name: str


class Files:
    """The files of a deployment, as one process reaches them."""

    def __init__(
        self,
        objects: ObjectStore,
        store: StateStore,
        config: NotifyConfig,
        namespace: str,
        on_removed: Callable[[int], object] = lambda _: None,
    ) -> None:
        """``on_removed`` is told how many expired files each round has removed."""
        self._objects, self._store, self._config = objects, store, config
        self._prefix, self._namespace, self._on_removed = f"{namespace}.state.notify.files", namespace, on_removed
        self._usage = Usage(store, namespace, config.attachment_expiry_duration)
        self._in_flight: dict[str, int] = {}  # bytes of uploads under way, by visitor

    # -- in

    async def take(
        self,
        uploader: Visitor,
        body: AsyncIterator[bytes],
        *,
        name: str,
        announced: int | None,
        expires: int | None,
        now_ms: int,
    ) -> tuple[StoredFile, Attachment]:
        """Store a file, within all limits.

        Args:
            body: is read as long as the limits allow.
            name: given by its publisher, or empty.
            announced: how many bytes it will have, if that is known.
            expires: of its message, unix seconds; the file goes no later.
            now_ms: unix milliseconds.

        Raises:
            NotifyError: 41301, more than what is left of any limit.
            ObjectError, StateError: a store did not answer; whatever was written expires.
        """
        now = now_ms // 1000
        room = await self._room(uploader, now_ms)
        if announced is not None and announced > room:
            raise Refusal.ATTACHMENT_TOO_LARGE.error()
        with Spool() as spool:
            try:
                async for part in body:
                    self._in_flight[uploader.key] = in_flight = self._in_flight.get(uploader.key, 0) + len(part)
                    await spool.write(part)
                    if spool.size > self._config.attachment_file_size_limit or in_flight > room:
                        raise Refusal.ATTACHMENT_TOO_LARGE.error()
                await spool.end()
            finally:
                self._arrived(uploader.key, spool.size)
            life = now + int(self._config.attachment_expiry_duration)
            return await self._keep(spool, uploader, name, life if expires is None else min(life, expires), now_ms)

    async def _room(self, uploader: Visitor, now_ms: int) -> int:
        """Bytes that may come: the least of what the limits leave."""
        config, now = self._config, now_ms // 1000
        return min(
            config.attachment_file_size_limit,
            config.visitor_attachment_total_size_limit - await self._usage.of_visitor(uploader.key, now),
            config.attachment_total_size_limit - await self._usage.total(now),
            uploader.bandwidth_left(now_ms),
        )

    def _arrived(self, visitor: str, size: int) -> None:
        left = self._in_flight.get(visitor, 0) - size
        if left > 0:
            self._in_flight[visitor] = left
        else:
            self._in_flight.pop(visitor, None)

    async def _keep(
        self, spool: Spool, uploader: Visitor, name: str, expires: int, now_ms: int
    ) -> tuple[StoredFile, Attachment]:
        config, now = self._config, now_ms // 1000
        if not await self._usage.take(
            uploader.key,
            spool.size,
            expires,
            now,
            limit=config.visitor_attachment_total_size_limit,
            total_limit=config.attachment_total_size_limit,
        ):
            raise Refusal.ATTACHMENT_TOO_LARGE.error()
        if not uploader.take_bandwidth(spool.size, now_ms):
            await self._usage.give_back(uploader.key, spool.size, expires, now)
            raise Refusal.ATTACHMENT_TOO_LARGE.error()
        kind = sniff(spool.head, name)
        file_id = random_alphanumerics(ID_LENGTH)
        file = StoredFile(
            id=file_id,
            name=name[:MAX_NAME] or f"attachment{kind.extension}",
            type=kind.type,
            size=spool.size,
            expires=expires,
            uploader=uploader.key,
            object_name=f"{PREFIX}/{expires}/{file_id}",
        )
        try:
            await self._objects.put_file(file.object_name, spool.file)
            await self._store.put(self._key(file_id), _fields(file), ttl=max(MIN_TTL, expires - now))
        except BaseException:
            await self.discard(file, now_ms)
            raise
        url = f"{config.base_url}/file/{file_id}{kind.extension}"
        return file, Attachment(name=file.name, type=file.type, size=file.size, expires=expires, url=url)

    async def discard(self, file: StoredFile, now_ms: int) -> None:
        """Remove a file that nobody wants before its time. What cannot be removed now goes when it expires."""
        try:
            await self._store.delete(self._key(file.id))
            await self._objects.delete(file.object_name)
            await self._usage.give_back(file.uploader, file.size, file.expires, now_ms // 1000)
        except (StateError, ObjectError) as exc:
            logger.warning("a file that is not wanted stays until it expires: %s", exc)

    # -- out

    async def find(self, file_id: str, now_ms: int) -> StoredFile | None:
        """A file that has not expired. Raises ``StateUnavailableError``."""
        record = await self._store.get(self._key(file_id))
        if record is None:
            return None
        file = StoredFile(
            id=file_id,
            name=record["name"].decode(),
            type=record["type"].decode(),
            size=int(record["size"]),
            expires=int(record["expires"]),
            uploader=record["uploader"].decode(),
            object_name=record["object"].decode(),
        )
        return file if file.expires > now_ms // 1000 else None

    def id_in(self, url: str) -> str | None:
        """The id of the file of ours that an attachment's URL leads to; ``None``: it leads elsewhere."""
        base = f"{self._config.base_url}/file/"
        match = _ID.match(url.removeprefix(base)) if url.startswith(base) else None
        return None if match is None else match[0]

    def chunks(self, file: StoredFile) -> AsyncIterator[bytes]:
        """Its bytes, part by part. Raises ``ObjectError``."""
        return self._objects.chunks(file.object_name)

    async def size_of(self, uploader: Visitor, now_ms: int) -> int:
        """Bytes of a visitor's files that are alive."""
        return await self._usage.of_visitor(uploader.key, now_ms // 1000)

    async def total_size(self, now_ms: int) -> int:
        """Bytes of all files that are alive."""
        return await self._usage.total(now_ms // 1000)

    # -- away

    async def run(self, now_ms: Callable[[], int]) -> None:
        """Remove what has expired, round by round, until cancelled; one process of a deployment at a time does it."""
        pause = self._config.manager_interval
        while True:
            try:
                async with Lease(self._store, f"{self._namespace}.state.leases.notify-files").held():
                    while True:
                        await self._round(now_ms())
                        await asyncio.sleep(pause)
            except (LeaseLostError, StateError) as exc:
                logger.warning("files are not looked after by this process for now: %s", exc)
                await asyncio.sleep(pause)

    async def _round(self, now_ms: int) -> None:
        try:
            removed = await self.sweep(now_ms)
        except ObjectError as exc:
            logger.warning("expired files not removed yet: %s", exc)
            return
        if removed:
            self._on_removed(removed)
            logger.info("expired files removed: %d", removed)

    async def sweep(self, now_ms: int) -> int:
        """Remove the bytes of files that have expired; returns of how many. Raises ``ObjectError``."""
        removed = 0
        async for found in self._objects.list(PREFIX):
            match = _OBJECT.fullmatch(found.name)
            if match is not None and int(match[1]) + _GRACE < now_ms // 1000:
                await self._objects.delete(found.name)
                removed += 1
        return removed

    def _key(self, file_id: str) -> str:
        return f"{self._prefix}.{file_id}"


def _fields(file: StoredFile) -> dict[str, bytes]:
    return {
        "name": file.name.encode(),
        "type": file.type.encode(),
        "size": b"%d" % file.size,
        "expires": b"%d" % file.expires,
        "uploader": file.uploader.encode(),
        "object": file.object_name.encode(),
    }
