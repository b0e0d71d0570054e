"""An engine with gbe processes on it that are killed, stopped and started again."""

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.engines import NatsProcess
from tests.redis_engines import RedisProcess
from tests.tasks.processes import GbeProcess


def engine_of(kind: str, folder: Path) -> Any:
    """An engine that is not started yet: ``nats`` or ``redis``.

    Redis that syncs once a second postpones its writes to the file too while a sync is under way, for two seconds at
    most, and answers all the same: a kill may then lose what it has confirmed. Here it has stored what it confirms.
    """
    return NatsProcess(folder / "nats") if kind == "nats" else RedisProcess(folder / "redis", fsync="always")


class Scene:
    """The engine and the processes on it.

    Args:
        roles: how many processes of each, by the words of their command line.
        chance: which one is hit.
        quick: with short leases.
    """

    def __init__(
        self,
        engine: Any,
        namespace: str,
        folder: Path,
        roles: Mapping[str, tuple[int, Sequence[str]]],
        chance: random.Random,
        *,
        quick: bool = False,
    ) -> None:
        self.engine, self.namespace, self.folder, self.chance, self.quick = engine, namespace, folder, chance, quick
        self._words = {role: list(words) for role, (_, words) in roles.items()}
        self.processes: dict[str, list[GbeProcess]] = {}
        try:
            for role, (count, words) in roles.items():
                self.processes[role] = [self.start(*words) for _ in range(count)]
        except BaseException:
            self.end()
            raise

    def start(self, *words: str) -> GbeProcess:
        """One more gbe process on the engine."""
        return GbeProcess(list(words), self.engine.url, self.namespace, self.folder / "log", quick=self.quick)

    def kill(self, role: str) -> None:
        """SIGKILL one; another one starts."""
        processes = self.processes[role]
        number = self.chance.randrange(len(processes))
        processes[number].kill()
        processes[number] = self.start(*self._words[role])

    async def stop(self, role: str, seconds: float) -> None:
        """SIGSTOP one for so long, then SIGCONT."""
        sleeper = self.chance.choice(self.processes[role])
        sleeper.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            sleeper.send(signal.SIGCONT)

    def crash_engine(self) -> None:
        """SIGKILL, and again on what it stored."""
        self.engine.kill()
        self.engine.start()

    def end(self) -> None:
        """Kill everything that was started."""
        for processes in self.processes.values():
            for process in processes:
                process.kill()
