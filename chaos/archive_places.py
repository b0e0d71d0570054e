"""Where archivers under fire write to: each has its troubles, and books of what it holds."""

import asyncio
import contextlib
import random
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Final, Self

import psycopg
from tests.archive.processes import ids, verdict
from tests.archive.s3_faults import FaultyS3, Mode
from tests.deployments import Deployment
from tests.postgres import PostgresProcess
from tests.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Process

from gbe.archive.postgres.config import PostgresConfig
from gbe.archive.postgres.database import Database
from gbe.archive.postgres.verify import verify_table
from gbe.archive.progress import Progress
from gbe.archive.verify import Known
from gbe.objects.config import ObjectsConfig


class Place(ABC):
    """An archive that can be made to suffer.

    Attributes:
        target: what an archiver is told: a bucket, or the URL of a database.
        endpoint: of an S3 server, as the archiver sees it.
    """

    target: ObjectsConfig | str
    endpoint = ""

    @abstractmethod
    async def __aenter__(self) -> Self: ...

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abstractmethod
    async def trouble(self, chance: random.Random) -> str:
        """Begin one of its troubles; returns which."""

    @abstractmethod
    async def heal(self) -> None:
        """All is well again."""

    @abstractmethod
    async def ids(self) -> Counter[str]:
        """How often each message is there."""

    @abstractmethod
    async def verdict(self, deployment: Deployment, published: list[str]) -> list[str]:
        """What is wrong: lost, twice, never published, not verified."""


class ObjectsPlace(Place):
    """SeaweedFS behind a proxy that answers 500 and 503, cuts uploads half-way, is late, or is not there."""

    _FAULTS: Final[tuple[Mode, ...]] = ("500", "503", "cut", "late", "gone")

    def __init__(self, folder: Path) -> None:
        self._server = S3Process(folder / "s3")

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._server.__enter__)
        self._config = self.target = ObjectsConfig(
            url=f"s3://{BUCKET}/chaos",
            endpoint=self._server.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
        )
        self._proxy = await FaultyS3(int(self._server.endpoint.rpartition(":")[2])).__aenter__()
        self.endpoint = self._proxy.url
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._proxy.__aexit__()
        await asyncio.to_thread(self._server.__exit__)

    async def trouble(self, chance: random.Random) -> str:
        """See ``Place``."""
        self._proxy.mode = chance.choice(self._FAULTS)
        return self._proxy.mode

    async def heal(self) -> None:
        """See ``Place``."""
        self._proxy.mode = "well"

    async def ids(self) -> Counter[str]:
        """See ``Place``."""
        return await ids(self._config)

    async def verdict(self, deployment: Deployment, published: list[str]) -> list[str]:
        """See ``Place``."""
        return await verdict(deployment, self._config, published)


class PostgresPlace(Place):
    """PostgreSQL that is stopped or killed, behind a proxy that cuts, is late, or is not there."""

    _FAULTS: Final = ("stopped", "killed", "cut", "late", "gone")

    def __init__(self) -> None:
        self._server = PostgresProcess()
        self._is_up = False

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._server.__enter__)
        self._is_up = True
        self._proxy = await FaultyS3(self._server.port).__aenter__()
        self.target = self._server.url(port=int(self._proxy.url.rpartition(":")[2]))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._proxy.__aexit__()
        await asyncio.to_thread(self._server.__exit__)

    async def trouble(self, chance: random.Random) -> str:
        """See ``Place``."""
        await self.heal()
        fault = chance.choice(self._FAULTS)
        if fault in ("stopped", "killed"):
            self._is_up = False
            await asyncio.to_thread(self._server.stop if fault == "stopped" else self._server.kill)
        else:
            self._proxy.mode = fault  # type: ignore[assignment]
        return fault

    async def heal(self) -> None:
        """See ``Place``."""
        self._proxy.mode = "well"
        if not self._is_up:
            await asyncio.to_thread(self._server.start)
            self._is_up = True

    async def ids(self) -> Counter[str]:
        """See ``Place``."""
        found: Counter[str] = Counter()
        try:
            async with await psycopg.AsyncConnection.connect(self._server.url()) as connection:
                async for (message_id,) in connection.cursor().stream("SELECT id FROM gbe_archive"):
                    found[message_id] += 1
        except psycopg.errors.UndefinedTable:
            pass  # no archiver has come so far
        return found

    async def verdict(self, deployment: Deployment, published: list[str]) -> list[str]:
        """See ``Place``."""
        found, wanted = await self.ids(), set(published)
        wrong = [f"lost: {id}" for id in wanted - set(found)]
        wrong += [f"unexpected: {id}" for id in set(found) - wanted]
        wrong += [f"{times} times: {id}" for id, times in found.items() if times > 1]
        progress = Progress((await deployment.backend()).state, deployment.namespace, "archiver")
        known = {subject: Known.of(point) async for subject, point in progress.all()}
        async with contextlib.aclosing(Database(PostgresConfig(url=self._server.url()))) as database:
            result = await verify_table(database, known, set())
        return wrong + [str(finding) for finding in result.findings]
