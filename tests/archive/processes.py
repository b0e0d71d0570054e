"""Archivers as processes, and the books of what they wrote; for tests and for the long runs of ``chaos``."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from tests.deployments import Deployment
from tests.engines import die_with_parent

from gbe.archive import files
from gbe.archive.layout import DATA
from gbe.archive.progress import Progress
from gbe.archive.verify import Known, verify
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore

ROOT = Path(__file__).parents[2]


class ArchiverProcess:
    """``gbe archiver`` on a deployment's engine.

    Args:
        place: where the archive is; a text is the URL of a database.
        endpoint: of the S3 server, as the archiver sees it; "" where there is none.
        more: variables of its environment.
    """

    def __init__(
        self,
        deployment: Deployment,
        place: ObjectsConfig | str,
        endpoint: str,
        log: Path,
        *,
        batch_size: int = 100,
        **more: str,
    ) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "GBE_TRANSPORT": deployment.engine.url,
            "GBE_NAMESPACE": deployment.namespace,
            "GBE_STATE_BUCKET": deployment.namespace,
            "GBE_DATA_DIR": str(log.parent),
            "GBE_OBJECTS_TIMEOUT": "3s",
            "GBE_ARCHIVE_BATCH_SIZE": str(batch_size),
            "GBE_ARCHIVE_BATCH_TIMEOUT": "500ms",
            "GBE_ARCHIVE_ACK_TIMEOUT": "2s",
            "GBE_ARCHIVE_TERM": "1s",
            "GBE_ARCHIVE_RETRY_BACKOFF": "100ms",
            "GBE_ARCHIVE_RETRY_BACKOFF_MAX": "500ms",
            **more,
        }
        if isinstance(place, str):
            environment["GBE_ARCHIVE_URL"] = place
        else:
            environment["GBE_ARCHIVE_URL"] = place.url
            if endpoint:
                environment |= {
                    "GBE_ARCHIVE_ENDPOINT": endpoint,
                    "GBE_ARCHIVE_ACCESS_KEY_ID": place.access_key_id or "",
                    "GBE_ARCHIVE_SECRET_ACCESS_KEY": place.secret_access_key or "",
                }
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gbe.cli.main", "archiver"],
                cwd=ROOT,
                env=environment,
                stdout=out,
                stderr=out,
                preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock is taken
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, as a crash does it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self._process.terminate()
        return self._process.wait(60)


async def ids(place: ObjectsConfig) -> Counter[str]:
    """How often each message is in the archive."""
    found: Counter[str] = Counter()
    async with await ObjectStore.open(place) as objects:
        async for info in objects.list(DATA):
            found.update(row.id for row in files.unpack(await objects.get(info.name), info.name))
    return found


async def archived(place: ObjectsConfig, published: Collection[str]) -> bool:
    """Whether all of these are in the archive."""
    return set(published) <= set(await ids(place))


async def verdict(deployment: Deployment, place: ObjectsConfig, published: Collection[str]) -> list[str]:
    """What is wrong: lost, twice, never published, not verified."""
    found, wanted = await ids(place), set(published)
    wrong = [f"lost: {id}" for id in wanted - set(found)]
    wrong += [f"unexpected: {id}" for id in set(found) - wanted]
    wrong += [f"{times} times: {id}" for id, times in found.items() if times > 1]
    state = (await deployment.backend()).state
    progress = Progress(state, deployment.namespace, "archiver")
    known = {subject: Known.of(point) async for subject, point in progress.all()}
    async with await ObjectStore.open(place) as objects:
        result = await verify(objects, known)
    return wrong + [str(finding) for finding in result.findings]
